-- Margin on approved work of each project, by month of the work and currency.
-- like: margin_by_project_month
-- key: project_ref, month, currency
-- columns:
--   cost | currency | Cost of hours and expenses; adds up within a currency. Null where `cost_withheld` says why.
--   margin | currency | `revenue` - `cost`; adds up within a currency. Null where one of the two is.
--   margin_ratio | ratio | `margin` / `revenue`. Neither add nor average it: of several rows of one currency it is sum(margin) / sum(revenue), over those with a margin. Null where revenue is 0 or not known, and where `cost` is withheld.
--   month_starts_on | date | First day of the month.
--   people | people | How many have approved time in that month and currency that costs something in all, seats that are no person left out.
--   cost_withheld | word | Why there is no cost, which would tell a person's pay: the time of one_person or few_people (two, or nobody known) costs something, or most of it (more than 80 %) is the cost of mostly_one_person. Null where nothing is withheld.
WITH each_person AS (
  SELECT
    t.project_ref,
    to_char(t.work_on, 'YYYY-MM') AS month,
    t.currency,
    sum(t.seconds * t.cost_rate) FILTER (
      WHERE t.resource_id IS NOT NULL AND w.kind IS DISTINCT FROM 'placeholder'
    ) AS cost,
    bool_or(t.cost_rate IS NOT NULL) AS is_priced
  FROM landing.time_entry AS t
  LEFT JOIN psa.bridge_address AS a
    ON
      a.address_id = t.resource_id
      AND CAST(date_trunc('week', t.work_on) AS date) + 6
      BETWEEN coalesce(a.from_on, DATE '0001-01-01') AND coalesce(a.until_on, DATE '9999-12-31')
  LEFT JOIN psa.dim_person AS w ON w.resource_id = coalesce(a.resource_id, t.resource_id)
  WHERE t.status = 'approved' AND t.seconds <> 0
  GROUP BY
    t.project_ref,
    to_char(t.work_on, 'YYYY-MM'),
    t.currency,
    coalesce(a.resource_id, t.resource_id)
),
worked AS (
  SELECT
    project_ref,
    month,
    currency,
    count(*) FILTER (WHERE cost <> 0) AS people,
    max(abs(cost)) > 0.8 * sum(abs(cost)) AS is_mostly_one,
    bool_or(is_priced) AS is_priced
  FROM each_person
  GROUP BY project_ref, month, currency
)
SELECT
  m.project_ref,
  m.project_id,
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
  CASE WHEN h.reason IS NULL THEN m.cost END AS cost,
  CASE WHEN h.reason IS NULL THEN m.margin END AS margin,
  CASE WHEN h.reason IS NULL THEN m.margin_ratio END AS margin_ratio,
  m.as_of,
  to_date(m.period, 'YYYY-MM') AS month_starts_on,
  coalesce(w.people, 0) AS people,
  h.reason AS cost_withheld
FROM landing.metric_project_margin AS m
LEFT JOIN worked AS w
  ON w.project_ref = m.project_ref AND w.month = m.period AND w.currency = m.currency
LEFT JOIN psa.dim_project AS p ON p.project_id = m.project_id
CROSS JOIN LATERAL (
  SELECT
    CASE
      WHEN
        NOT coalesce(w.is_priced, m.seconds <> 0)
        OR pg_has_role(current_user, 'psastream_pay', 'USAGE')
        THEN NULL
      WHEN w.people = 1 THEN 'one_person'
      WHEN coalesce(w.people, 0) < 3 THEN 'few_people'
      WHEN w.is_mostly_one THEN 'mostly_one_person'
    END AS reason
) AS h
