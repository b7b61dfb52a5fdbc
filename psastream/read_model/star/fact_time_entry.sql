-- Every time entry, as the PSA has it. What it cost is in pay_time_entry.
-- key: record_key
-- columns:
--   record_key | id | Project and source id: no two rows have the same.
--   id | id | Source id.
--   project_ref | id | Source id of the project.
--   project_id | id | Canonical project id; its source id where the project names no deal.
--   project | text | Name of the project. Null while no project of that id is known.
--   customer_id | id | Canonical customer id. Null where the project has none.
--   customer | text | Name of the customer. Null where the project has none.
--   is_internal | true, false | Whether the project names neither a deal nor a customer.
--   resource_id | id | Canonical resource id.
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
  t.record_key,
  t.id,
  t.project_ref,
  coalesce(s.project_id, t.project_ref) AS project_id,
  p.project,
  p.customer_id,
  p.customer,
  p.is_internal,
  t.resource_id,
  w.person,
  t.work_on,
  t.status,
  t.is_billable,
  t.hours,
  t.seconds,
  t.bill_rate,
  t.currency,
  t.source_at AS as_of
FROM landing.time_entry AS t
LEFT JOIN landing.project AS s ON s.id = t.project_ref
LEFT JOIN psa.dim_project AS p ON p.project_id = coalesce(s.project_id, t.project_ref)
LEFT JOIN psa.dim_person AS w ON w.resource_id = t.resource_id
