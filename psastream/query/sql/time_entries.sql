-- Every time entry, as the PSA has it, with whose it is.
-- key: project_ref, id
-- first: work_on, person, project, hours, status, is_billable, customer
-- columns:
--   id | id | Source id.
--   project_ref | id | Source id of the project.
--   project_id | id | Canonical project id; its source id where the project names no deal.
--   project | text | Name of the project. Null while no project of that id is known.
--   customer_id | id | Canonical customer id. Null where the project has none.
--   customer | text | Name of the customer. Null where the project has none.
--   is_internal | true, false | Whether the project names neither a deal nor a customer.
--   resource_id | id | Canonical resource id of who claims the address on the Sunday of the week; the id of the address where nobody does.
--   person | text | Full name. Null where nobody claims the address of the hours.
--   work_on | date | Day of the work, of the worker's calendar.
--   status | word | draft, submitted, approved or rejected.
--   is_billable | true, false | Whether it is to be billed.
--   hours | h | Time at 2 digits. Add up `seconds` instead.
--   seconds | s | Time, exactly; adds up.
--   bill_rate | currency an hour | What an hour is billed at. Null where none is known.
--   currency | ISO 4217 | Currency of the rate.
--   as_of | instant | When the source says the row changed.
SELECT
  t.id,
  t.project_ref,
  coalesce(s.project_id, t.project_ref) AS project_id,
  p.project,
  p.customer_id,
  p.customer,
  p.is_internal,
  coalesce(a.resource_id, t.resource_id) AS resource_id,
  w.person,
  t.work_on,
  t.status,
  t.is_billable,
  t.hours,
  t.seconds,
  t.bill_rate,
  t.currency,
  t.source_at AS as_of
FROM psa.time_entry AS t
LEFT JOIN addresses AS a
  ON
    a.address_id = t.resource_id
    AND CAST(date_trunc('week', t.work_on) AS date) + 6
    BETWEEN coalesce(a.from_on, DATE '0001-01-01') AND coalesce(a.until_on, DATE '9999-12-31')
LEFT JOIN psa.project AS s ON s.id = t.project_ref
LEFT JOIN projects AS p ON p.project_id = coalesce(s.project_id, t.project_ref)
LEFT JOIN people AS w ON w.resource_id = coalesce(a.resource_id, t.resource_id)
ORDER BY t.work_on, t.project_ref, t.id
