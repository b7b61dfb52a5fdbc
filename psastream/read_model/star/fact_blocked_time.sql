-- Approved time that the ERP cannot take yet, by entry, and what it waits for.
-- like: blocked_time
-- key: project_ref, id
-- columns:
WITH blocked AS (
  SELECT
    t.*,
    p.erp_ref,
    p.reason AS project_reason,
    CASE
      WHEN p.erp_ref IS NULL
        THEN (
          SELECT min(x.exception_id COLLATE "C")
          FROM psa.fact_exception AS x
          WHERE x.project_id = t.project_id AND x.kind = 'upsert_project' AND x.amount IS NOT NULL
        )
      ELSE (
        SELECT min(x.exception_id COLLATE "C")
        FROM psa.fact_exception AS x
        WHERE
          x.natural_key = t.id
          AND x.kind = 'billed_time_changed'
          AND x.exception_id <> concat('billing:', t.id, '|', t.project_ref)
      )
    END AS exception_id
  FROM psa.fact_time_entry AS t
  LEFT JOIN psa.dim_project AS p ON p.project_id = t.project_id
  WHERE
    t.status = 'approved'
    AND t.is_billable
    AND t.seconds <> 0
    AND EXISTS (
      SELECT 1
      FROM landing.status_billing AS b
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
  round(b.seconds * b.bill_rate / 3600, 6) AS amount,
  b.currency,
  b.exception_id,
  x.error_code,
  coalesce(x.detail, CASE WHEN b.erp_ref IS NULL THEN b.project_reason END) AS detail,
  x.hint
FROM blocked AS b
LEFT JOIN psa.fact_exception AS x ON x.exception_id = b.exception_id
WHERE
  b.erp_ref IS NULL
  OR b.exception_id IS NOT NULL
  OR b.bill_rate IS NULL
  OR b.currency IS NULL
