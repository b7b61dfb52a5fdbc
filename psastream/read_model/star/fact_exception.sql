-- What waits for a person. What is resolved is left out.
-- like: exceptions
-- key: exception_id
-- columns:
WITH said AS (
  SELECT *, CASE WHEN pg_input_is_valid(payload, 'jsonb') THEN CAST(payload AS jsonb) END AS content
  FROM landing.exception
  WHERE status = 'open'
),
waiting AS (
  SELECT
    e.*,
    coalesce(
      e.content ->> 'project_id',
      s.project_id,
      s.id,
      nullif(split_part(e.natural_key, ':', 3), ''),
      e.natural_key
    ) AS project_id,
    coalesce(e.content ->> 'customer_id', split_part(e.natural_key, ':', 3)) AS customer_id
  FROM said AS e
  LEFT JOIN landing.project AS s ON s.id = coalesce(e.content ->> 'project_ref', e.natural_key)
)
SELECT
  w.exception_id,
  w.system,
  w.kind,
  w.reason,
  w.error_code,
  w.detail,
  w.hint,
  w.field,
  p.project_id,
  p.project,
  c.customer_id,
  c.name AS customer,
  w.amount,
  w.currency,
  w.raised_at,
  w.attempts,
  w.retry_at,
  w.natural_key
FROM waiting AS w
LEFT JOIN psa.dim_project AS p ON p.project_id = w.project_id
LEFT JOIN landing.status_customer AS c ON c.customer_id = coalesce(p.customer_id, w.customer_id)
