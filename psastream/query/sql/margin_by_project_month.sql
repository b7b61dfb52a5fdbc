-- Margin on approved work of each project, by month of the work and currency.
-- key: project_ref, month, currency
-- first: project, month, hours, revenue, cost, margin, currency, margin_ratio
-- columns:
--   project_ref | id | Source id of the PSA project; several may stand for one project.
--   project_id | id | Canonical project id; its source id where the project names no deal.
--   project | text | Name of the project. Null while no project of that id is known.
--   customer_id | id | Canonical customer id. Null where the project has none.
--   customer | text | Name of the customer. Null where the project has none.
--   is_internal | true, false | Whether the project names neither a deal nor a customer.
--   month | YYYY-MM | Month of the work date.
--   currency | ISO 4217 | Currency of all amounts of the row.
--   hours | h | Approved time, half-even at 2 digits. Add up `seconds` instead.
--   seconds | s | Approved time, exactly; adds up.
--   revenue | currency | Fees and billable expenses; adds up within a currency. Null where the fees of the contract are not known: `revenue_reason` says why.
--   revenue_reason | word | Why there is no revenue. Null where there is.
--   cost | currency | Cost of hours and expenses; adds up within a currency.
--   margin | currency | `revenue` - `cost`; adds up within a currency. Null where `revenue` is.
--   margin_ratio | ratio | `margin` / `revenue`. Neither add nor average it: of several rows of one currency it is sum(margin) / sum(revenue), over those with revenue. Null where revenue is 0 or not known.
--   as_of | instant | The latest change that went in.
SELECT
  m.project_ref,
  project_id,
  p.project,
  p.customer_id,
  p.customer,
  p.is_internal,
  m.period AS month,
  m.currency,
  m.hours,
  m.seconds,
  m.revenue,
  m.revenue_reason,
  m.cost,
  m.margin,
  m.margin_ratio,
  m.as_of
FROM psa.metric.project_margin AS m
LEFT JOIN projects AS p USING (project_id)
ORDER BY project_id, m.project_ref, month, m.currency
