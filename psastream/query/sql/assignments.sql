-- Everybody's planned work, by assignment.
-- key: id
-- first: project, person, starts_on, planned_hours, planned_revenue, planned_cost, currency, status
-- columns:
--   id | id | Source id of the assignment.
--   project_ref | id | Source id of the project in the resource tool.
--   project_id | id | Canonical project id. Null where the project names no deal.
--   project | text | Name of the project. Null while no project of that id is known.
--   customer_id | id | Canonical customer id. Null where the project has none.
--   customer | text | Name of the customer. Null where the project has none.
--   is_internal | true, false | Whether the project names neither a deal nor a customer.
--   resource_id | id | Canonical resource id.
--   person | text | Full name. Null while no person of that id is known.
--   status | word | tentative, approved, completed or waiting_rate (the person has no rate yet).
--   starts_on | date | First day.
--   ends_on | date | Last day.
--   planned_hours | h | Hours on working days from first to last day; adds up.
--   planned_cost | currency | Hours at cost rate; adds up within a currency. Null without a rate.
--   planned_revenue | currency | Hours at bill rate, 0 where not billable; adds up within a currency. Null without a rate.
--   currency | ISO 4217 | Currency of the two.
--   as_of | instant | The latest change that went in.
SELECT
  a.id,
  a.project_ref,
  a.project_id,
  p.project,
  p.customer_id,
  p.customer,
  p.is_internal,
  a.resource_id,
  w.person,
  a.status,
  a.starts_on,
  a.ends_on,
  a.planned_hours,
  a.planned_cost,
  a.planned_revenue,
  a.currency,
  a.as_of
FROM psa.status.assignment AS a
LEFT JOIN projects AS p ON p.project_id = coalesce(a.project_id, a.project_ref)
LEFT JOIN people AS w ON w.resource_id = a.resource_id
ORDER BY a.id
