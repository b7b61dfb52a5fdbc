-- Every project: those that deals ask for, and those that a system has without one.
-- like: projects
-- key: project_id
-- columns:
--   budget_cost | budget_currency | Their cost; adds up within a currency. Null where `cost_withheld` says why.
--   cost_withheld | word | one_person: the budget is of one person, whose pay it would tell. Null where nothing is withheld.
WITH held AS (
  SELECT
    coalesce(project_id, id) AS project_id,
    min(name COLLATE "C") AS name,
    min(customer_id COLLATE "C") AS customer_id,
    min(engagement_id COLLATE "C") AS engagement_id,
    min(country_code COLLATE "C") AS country_code,
    min(currency COLLATE "C") AS currency,
    max(source_at) AS as_of
  FROM landing.project
  GROUP BY coalesce(project_id, id)
),
planned AS (
  SELECT project_id, count(DISTINCT resource_id) AS people
  FROM landing.status_assignment
  WHERE status IN ('approved', 'completed') AND planned_cost <> 0
  GROUP BY project_id
),
merged AS (
  SELECT
    project_id,
    coalesce(p.name, h.name) AS project,
    coalesce(p.customer_id, h.customer_id) AS customer_id,
    coalesce(p.engagement_id, h.engagement_id) AS engagement_id,
    coalesce(p.country_code, h.country_code) AS country_code,
    p.status,
    p.reason,
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
  FROM landing.status_project AS p
  FULL JOIN held AS h USING (project_id)
)
SELECT
  m.project_id,
  m.project,
  m.customer_id,
  c.name AS customer,
  m.engagement_id,
  m.country_code,
  m.status,
  m.reason,
  m.engagement_id IS NULL AND m.customer_id IS NULL AS is_internal,
  m.currency,
  m.contract_value,
  m.budget_hours,
  CASE WHEN NOT w.is_withheld THEN m.budget_cost END AS budget_cost,
  m.budget_revenue,
  m.budget_currency,
  m.erp_ref,
  m.rm_ref,
  m.psa_ref,
  m.as_of,
  CASE WHEN w.is_withheld THEN 'one_person' END AS cost_withheld
FROM merged AS m
LEFT JOIN planned AS n ON n.project_id = m.project_id
LEFT JOIN landing.status_customer AS c ON c.customer_id = m.customer_id
CROSS JOIN LATERAL (
  SELECT
    coalesce(m.budget_cost, 0) <> 0
    AND coalesce(n.people, 0) < 2
    AND NOT pg_has_role(current_user, 'psastream_pay', 'USAGE') AS is_withheld
) AS w
