-- The last command of everything that was ordered from a system, with what became of it.
-- like: commands
-- key: natural_key
-- columns:
WITH said AS (
  SELECT *, CASE WHEN pg_input_is_valid(payload, 'jsonb') THEN CAST(payload AS jsonb) END AS content
  FROM landing.all_commands
),
ordered AS (
  SELECT
    c.*,
    coalesce(
      c.content ->> 'project_id', s.project_id, s.id, split_part(c.natural_key, ':', 3)
    ) AS project_id,
    coalesce(c.content ->> 'customer_id', split_part(c.natural_key, ':', 3)) AS customer_id
  FROM said AS c
  LEFT JOIN landing.project AS s ON s.id = c.content ->> 'project_ref'
),
refused AS (
  SELECT
    natural_key,
    revision,
    bool_or(coalesce(is_held, false)) AS is_held,
    min(error_code COLLATE "C") AS error_code,
    min(detail COLLATE "C") AS detail
  FROM landing.exception
  WHERE status = 'open' AND revision IS NOT NULL
  GROUP BY natural_key, revision
)
SELECT
  o.natural_key,
  o.target,
  o.kind,
  CASE
    WHEN e.is_held THEN 'held'
    WHEN r.status IN ('succeeded', 'adopted', 'superseded', 'withdrawn') THEN r.status
    WHEN r.status IS NOT NULL OR e.is_held IS NOT NULL THEN 'refused'
    WHEN i.revision >= o.revision THEN 'attempted'
    ELSE 'waiting'
  END AS state,
  p.project_id,
  p.project,
  c.customer_id,
  c.name AS customer,
  o.amount,
  o.currency,
  r.target_id,
  coalesce(r.error_code, e.error_code) AS error_code,
  coalesce(r.error_detail, e.detail) AS error_detail,
  r.attempts,
  o.issued_at,
  r.finished_at,
  o.revision,
  o.command_id
FROM ordered AS o
LEFT JOIN landing.command_result AS r
  ON r.natural_key = o.natural_key AND r.command_id = o.command_id
LEFT JOIN refused AS e ON e.natural_key = o.natural_key AND e.revision = o.revision
LEFT JOIN landing.command_intent AS i ON i.natural_key = o.natural_key
LEFT JOIN psa.dim_project AS p ON p.project_id = o.project_id
LEFT JOIN landing.status_customer AS c ON c.customer_id = coalesce(p.customer_id, o.customer_id)
