-- Every project: those that deals ask for, and those that a system has without one.
-- key: project_id
-- first: project, status, contract_value, currency, customer, budget_hours, reason
-- columns:
--   project_id | id | Canonical project id; of a row that names no deal its source id.
--   project | text | Name: of the deal and the country that delivers, else the name in its system.
--   customer_id | id | Canonical customer id. Null where no system names a customer.
--   customer | text | Name of the customer. Null while no customer of that id is known.
--   engagement_id | id | Canonical engagement id. Null where the project names no deal.
--   country_code | ISO 3166 | Country that delivers.
--   status | word | As psa.status.project has it. Null where no deal asks for the project.
--   reason | text | Why it waits or was rejected. Null where it does neither.
--   is_internal | true, false | Whether it names neither a deal nor a customer.
--   currency | ISO 4217 | Currency of the contract value.
--   contract_value | currency | What was sold; adds up within a currency. Null where nobody says.
--   budget_hours | h | Hours of approved assignments; adds up. Null where nothing is planned.
--   budget_cost | budget_currency | Their cost; adds up within a currency.
--   budget_revenue | budget_currency | Their revenue; adds up within a currency.
--   budget_currency | ISO 4217 | Currency of the two.
--   erp_ref | id | Source id in the ERP. Null while the ERP does not hold it.
--   rm_ref | id | Source id in the resource tool. Null while that does not hold it.
--   psa_ref | id | Source id in the PSA. Null while the PSA does not hold it.
--   as_of | instant | The latest change that went in.
WITH held AS (
  SELECT
    coalesce(project_id, id) AS project_id,
    min(name) AS name,
    min(customer_id) AS customer_id,
    min(engagement_id) AS engagement_id,
    min(country_code) AS country_code,
    min(currency) AS currency,
    max(source_at) AS as_of
  FROM psa.project
  GROUP BY ALL
)
SELECT
  project_id,
  coalesce(p.name, h.name) AS project,
  coalesce(p.customer_id, h.customer_id) AS customer_id,
  c.name AS customer,
  coalesce(p.engagement_id, h.engagement_id) AS engagement_id,
  coalesce(p.country_code, h.country_code) AS country_code,
  p.status,
  p.reason,
  coalesce(p.engagement_id, h.engagement_id, p.customer_id, h.customer_id) IS NULL AS is_internal,
  coalesce(p.currency, h.currency) AS currency,
  p.contract_value,
  p.budget_hours,
  p.budget_cost,
  p.budget_revenue,
  p.budget_currency,
  p.erp_ref,
  p.rm_ref,
  p.psa_ref,
  coalesce(p.as_of, h.as_of) AS as_of
FROM psa.status.project AS p
FULL JOIN held AS h USING (project_id)
LEFT JOIN psa.status.customer AS c
  ON c.customer_id = coalesce(p.customer_id, h.customer_id)
ORDER BY project_id
