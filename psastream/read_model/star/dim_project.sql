-- Every project: those that deals ask for, and those that a system has without one.
-- like: projects
-- key: project_id
-- columns:
--   budget_cost | budget_currency | Their cost; adds up within a currency. Null where `cost_withheld` says why.
--   cost_withheld | word | Why there is no cost, which would tell a person's pay: the planned time of one_person or few_people (two, or nobody known) costs something, or most of it (more than 80 %) is the cost of mostly_one_person. Null where nothing is withheld.
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
  SELECT
    project_id,
    count(*) FILTER (WHERE cost <> 0) AS people,
    max(abs(cost)) > 0.8 * sum(abs(cost)) AS is_mostly_one
  FROM (
    SELECT
      a.project_id,
      sum(a.planned_cost) FILTER (
        WHERE a.resource_id IS NOT NULL AND w.kind IS DISTINCT FROM 'placeholder'
      ) AS cost
    FROM landing.status_assignment AS a
    LEFT JOIN psa.dim_person AS w ON w.resource_id = a.resource_id
    WHERE a.status IN ('approved', 'completed') AND a.planned_cost IS NOT NULL
    GROUP BY a.project_id, a.resource_id
  ) AS each_person
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
  CASE WHEN w.reason IS NULL THEN m.budget_cost END AS budget_cost,
  m.budget_revenue,
  m.budget_currency,
  m.erp_ref,
  m.rm_ref,
  m.psa_ref,
  m.as_of,
  w.reason AS cost_withheld
FROM merged AS m
LEFT JOIN planned AS n ON n.project_id = m.project_id
LEFT JOIN landing.status_customer AS c ON c.customer_id = m.customer_id
CROSS JOIN LATERAL (
  SELECT
    CASE
      WHEN
        m.budget_cost IS NULL
        OR (m.budget_cost = 0 AND n.project_id IS NULL)
        OR pg_has_role(current_user, 'psastream_pay', 'USAGE')
        THEN NULL
      WHEN n.people = 1 THEN 'one_person'
      WHEN coalesce(n.people, 0) < 3 THEN 'few_people'
      WHEN n.is_mostly_one THEN 'mostly_one_person'
    END AS reason
) AS w
