-- The last command of everything that was ordered from a system, with what became of it.
-- key: natural_key
-- first: kind, state, project, amount, currency, target, error_code, issued_at
-- columns:
--   natural_key | id | Identity of the thing acted on: target, noun and canonical id.
--   target | system | System that must act.
--   kind | word | What it must do; withdraw: nobody wants the earlier ones any more.
--   state | word | waiting, attempted, refused, held, succeeded, adopted, superseded or withdrawn.
--   project_id | id | Canonical project id. Null where the command is about none.
--   project | text | Name of the project. Null where the command is about none.
--   customer_id | id | Canonical customer id. Null where no customer is known.
--   customer | text | Name of the customer. Null where no customer is known.
--   amount | currency | Money the command moves: of a time bill its time at bill rate, of a project its contract value. Add it up by kind and currency. Null where it moves none.
--   currency | ISO 4217 | Currency of the amount.
--   target_id | id | Id of the record inside the target. Null until the target has told it.
--   error_code | code | Of a refusal, else null.
--   error_detail | text | The target's own words. Null without a refusal.
--   attempts | attempts | Attempts made. Null while none is settled.
--   issued_at | instant | Of the change that caused it.
--   finished_at | instant | When it was settled. Null while it is not.
--   revision | count | Grows with every command of a natural key.
--   command_id | id | Idempotency key.
WITH ordered AS (
  SELECT
    c.*,
    coalesce(
      TRY(c.payload ->> '$.project_id'), s.project_id, s.id, split_part(c.natural_key, ':', 3)
    ) AS project_id,
    coalesce(TRY(c.payload ->> '$.customer_id'), split_part(c.natural_key, ':', 3)) AS customer_id
  FROM all_commands AS c
  LEFT JOIN psa.project AS s ON s.id = TRY(c.payload ->> '$.project_ref')
),
refused AS (
  SELECT
    natural_key,
    revision,
    bool_or(coalesce(is_held, false)) AS is_held,
    min(error_code) AS error_code,
    min(detail) AS detail
  FROM psa.exception
  WHERE status = 'open' AND revision IS NOT NULL
  GROUP BY ALL
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
LEFT JOIN psa.command_result AS r
  ON r.natural_key = o.natural_key AND r.command_id = o.command_id
LEFT JOIN refused AS e ON e.natural_key = o.natural_key AND e.revision = o.revision
LEFT JOIN psa.command_intent AS i ON i.natural_key = o.natural_key
LEFT JOIN projects AS p ON p.project_id = o.project_id
LEFT JOIN psa.status.customer AS c ON c.customer_id = coalesce(p.customer_id, o.customer_id)
ORDER BY o.natural_key
