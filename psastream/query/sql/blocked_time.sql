-- Approved time that the ERP cannot take yet, by entry, and what it waits for.
-- key: project_ref, id
-- first: project, person, work_on, hours, amount, currency, reason, hint
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
WITH blocked AS (
  SELECT
    t.*,
    p.erp_ref,
    p.reason AS project_reason,
    CASE
      WHEN p.erp_ref IS NULL
        THEN (
          SELECT min(x.exception_id)
          FROM exceptions AS x
          WHERE x.project_id = t.project_id AND x.kind = 'upsert_project' AND x.amount IS NOT NULL
        )
      ELSE (
        SELECT min(x.exception_id)
        FROM exceptions AS x
        WHERE
          x.natural_key = t.id
          AND x.kind = 'billed_time_changed'
          AND x.exception_id <> concat('billing:', t.id, '|', t.project_ref)
      )
    END AS exception_id
  FROM time_entries AS t
  LEFT JOIN projects AS p ON p.project_id = t.project_id
  WHERE
    t.status = 'approved'
    AND t.is_billable
    AND t.seconds <> 0
    AND EXISTS (
      SELECT 1
      FROM psa.status.billing AS b
      WHERE
        b.state = 'blocked'
        AND b.project_ref = t.project_ref
        AND b.currency = coalesce(t.currency, 'XXX')
    )
)
SELECT
  b.id,
  b.project_ref,
  b.project_id,
  b.project,
  b.customer_id,
  b.customer,
  b.resource_id,
  b.person,
  b.work_on,
  CASE
    WHEN b.erp_ref IS NULL THEN 'not_in_erp'
    WHEN b.exception_id IS NOT NULL THEN 'invoiced_elsewhere'
    ELSE 'no_price'
  END AS reason,
  b.hours,
  b.seconds,
  CAST(
    TRY_CAST(
      (CAST(b.seconds AS HUGEINT) * CAST(b.bill_rate * 10000 AS HUGEINT) + 18 * sign(b.seconds))
      // 36 AS DECIMAL(30, 0)
    ) * 0.000001 AS DECIMAL(38, 6)
  ) AS amount,
  b.currency,
  b.exception_id,
  x.error_code,
  coalesce(x.detail, CASE WHEN b.erp_ref IS NULL THEN b.project_reason END) AS detail,
  x.hint
FROM blocked AS b
LEFT JOIN exceptions AS x ON x.exception_id = b.exception_id
WHERE
  b.erp_ref IS NULL
  OR b.exception_id IS NOT NULL
  OR b.bill_rate IS NULL
  OR b.currency IS NULL
ORDER BY b.project_id, b.work_on, b.project_ref, b.id
