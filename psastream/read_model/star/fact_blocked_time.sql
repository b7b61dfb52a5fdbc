-- Approved time that the ERP cannot take yet, by entry, and what it waits for.
-- like: blocked_time
-- key: project_ref, id
-- columns:
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
  FROM psa.fact_time_entry AS t
  LEFT JOIN psa.dim_project AS p ON p.project_id = t.project_id
  LEFT JOIN (
    SELECT project_id, min(exception_id COLLATE "C") AS exception_id
    FROM psa.fact_exception
    WHERE kind = 'upsert_project' AND amount IS NOT NULL
    GROUP BY project_id
  ) AS o ON o.project_id = t.project_id
  LEFT JOIN (
    SELECT t.id, t.project_ref, min(x.exception_id COLLATE "C") AS exception_id
    FROM psa.fact_time_entry AS t
    JOIN psa.fact_exception AS x
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
      SELECT 1 FROM landing.status_billing AS b
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
  round(t.seconds * t.bill_rate / 3600, 6) AS amount,
  t.currency,
  w.exception_id,
  x.error_code,
  coalesce(x.detail, CASE WHEN w.reason = 'not_in_erp' THEN w.project_reason END) AS detail,
  x.hint
FROM why AS w
JOIN psa.fact_time_entry AS t ON t.id = w.id AND t.project_ref = w.project_ref
LEFT JOIN psa.fact_exception AS x ON x.exception_id = w.exception_id
WHERE w.reason IS NOT NULL
