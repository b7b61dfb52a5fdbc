-- Approved time that the ERP cannot take yet, by entry, and what it waits for.
-- key: project_ref, id
-- columns:
--   id | id | Source id of the time entry.
--   project_ref | id | Source id of its project in the PSA.
--   project_id | id | Canonical project id; its source id where the project names no deal.
--   project | text | Name of the project. Null while no project of that id is known.
--   customer_id | id | Canonical customer id. Null where the project has none.
--   customer | text | Name of the customer. Null where the project has none.
--   resource_id | id | As time_entries has it.
--   person | text | Full name. Null where nobody claims the address of the hours.
--   work_on | date | Day of the work.
--   reason | word | not_in_erp (no ERP holds the project), invoiced_elsewhere (on another project, and not credited) or no_price (no bill rate, or no currency).
--   hours | h | Time at 2 digits. Add up `seconds` instead.
--   seconds | s | Time, exactly; adds up.
--   amount | currency | Time at bill rate, at 6 digits; adds up within a currency. Null where there is no price.
--   currency | ISO 4217 | Currency of the amount.
--   exception_id | id | Of the open row of exceptions that is to be cured first. Null where none is open.
--   error_code | code | Its code. Null without one.
--   detail | text | Its words, else why the project waits. Null where nobody says.
--   hint | text | What to do. Null without an open exception.
WITH why AS (
  SELECT
    t.id,
    t.project_ref,
    CASE
      WHEN p.erp_ref IS NULL THEN 'not_in_erp'
      WHEN e.exception_id IS NOT NULL THEN 'invoiced_elsewhere'
      WHEN t.bill_rate IS NULL OR t.currency IS NULL THEN 'no_price'
    END AS reason,
    p.reason AS project_reason,
    CASE WHEN p.erp_ref IS NULL THEN o.exception_id ELSE e.exception_id END AS exception_id
  FROM time_entries AS t
  LEFT JOIN projects AS p ON p.project_id = t.project_id
  LEFT JOIN (
    SELECT project_id, min(exception_id) AS exception_id
    FROM exceptions
    WHERE kind = 'upsert_project' AND amount IS NOT NULL
    GROUP BY project_id
  ) AS o ON o.project_id = t.project_id
  LEFT JOIN (
    SELECT t.id, t.project_ref, min(x.exception_id) AS exception_id
    FROM time_entries AS t
    JOIN exceptions AS x
      ON
        x.natural_key = t.id
        AND x.kind = 'billed_time_changed'
        AND x.exception_id <> concat('billing:', t.id, '|', t.project_ref)
    GROUP BY t.id, t.project_ref
  ) AS e ON e.id = t.id AND e.project_ref = t.project_ref
  WHERE
    t.status = 'approved'
    AND t.is_billable
    AND t.seconds <> 0
    AND EXISTS (
      SELECT 1 FROM psa.status.billing AS b
      WHERE
        b.state = 'blocked'
        AND b.project_ref = t.project_ref
        AND b.currency = coalesce(t.currency, 'XXX')
    )
)
SELECT
  t.id,
  t.project_ref,
  t.project_id,
  t.project,
  t.customer_id,
  t.customer,
  t.resource_id,
  t.person,
  t.work_on,
  w.reason,
  t.hours,
  t.seconds,
  CAST(
    TRY_CAST(
      (CAST(t.seconds AS HUGEINT) * CAST(t.bill_rate * 10000 AS HUGEINT) + 18 * sign(t.seconds))
      // 36 AS DECIMAL(30, 0)
    ) * 0.000001 AS DECIMAL(38, 6)
  ) AS amount,
  t.currency,
  w.exception_id,
  x.error_code,
  coalesce(x.detail, CASE WHEN w.reason = 'not_in_erp' THEN w.project_reason END) AS detail,
  x.hint
FROM why AS w
JOIN time_entries AS t ON t.id = w.id AND t.project_ref = w.project_ref
LEFT JOIN exceptions AS x ON x.exception_id = w.exception_id
WHERE w.reason IS NOT NULL
ORDER BY t.project_id, t.work_on, t.project_ref, t.id
