-- What waits for a person, the most money first. What is resolved is in psa.exception.
-- key: exception_id
-- first: amount, currency, project, error_code, hint, system, kind, raised_at
-- columns:
--   exception_id | id | As `psastream exceptions show` takes it.
--   system | system | Where the cause lies.
--   kind | word | What could not be done.
--   reason | word | Which kind of cure a refused command waits for. Null where no command was refused.
--   error_code | code | Stable code of the cause.
--   detail | text | What happened.
--   hint | text | What to do.
--   field | field | Field the system blames. Null where it blames none.
--   project_id | id | Canonical project id. Null where no project is concerned, or none known.
--   project | text | Name of the project. Null where `project_id` is.
--   customer_id | id | Canonical customer id. Null where no customer is concerned, or none known.
--   customer | text | Name of the customer. Null where `customer_id` is.
--   amount | currency | What the refused command moves (of a project its contract value), or what is at stake on an invoice. Not the time that waits, which blocked_time has. Null where no money is concerned.
--   currency | ISO 4217 | Currency of the amount.
--   raised_at | instant | When it was opened.
--   attempts | attempts | Attempts made at the refused command. Null where none was refused.
--   retry_at | instant | When it is tried again by itself, as known when it was refused. Null where no command was refused.
--   natural_key | id | Identity of the thing concerned.
WITH waiting AS (
  SELECT
    e.*,
    coalesce(
      TRY(e.payload ->> '$.project_id'),
      s.project_id,
      s.id,
      nullif(split_part(e.natural_key, ':', 3), ''),
      e.natural_key
    ) AS project_id,
    coalesce(TRY(e.payload ->> '$.customer_id'), split_part(e.natural_key, ':', 3)) AS customer_id
  FROM psa.exception AS e
  LEFT JOIN psa.project AS s
    ON s.id = coalesce(TRY(e.payload ->> '$.project_ref'), e.natural_key)
  WHERE e.status = 'open'
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
LEFT JOIN projects AS p ON p.project_id = w.project_id
LEFT JOIN psa.status.customer AS c ON c.customer_id = coalesce(p.customer_id, w.customer_id)
ORDER BY w.amount DESC NULLS LAST, w.raised_at, w.exception_id
