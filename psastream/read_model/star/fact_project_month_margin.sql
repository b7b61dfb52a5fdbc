-- Margin on approved work of each project, by month of the work and currency.
-- like: margin_by_project_month
-- key: project_ref, month, currency
-- columns:
--   cost | currency | Cost of hours and expenses; adds up within a currency. Null where `cost_withheld` says why.
--   margin | currency | `revenue` - `cost`; adds up within a currency. Null where one of the two is.
--   margin_ratio | ratio | `margin` / `revenue`. Neither add nor average it: of several rows of one currency it is sum(margin) / sum(revenue), over those with a margin. Null where revenue is 0 or not known, and where `cost` is withheld.
--   month_starts_on | date | First day of the month.
--   people | people | Who booked approved time in that month and currency.
--   cost_withheld | word | one_person: the time is of one person, whose pay the cost would tell. Null where nothing is withheld.
WITH worked AS (
  SELECT
    project_ref,
    to_char(work_on, 'YYYY-MM') AS month,
    currency,
    count(DISTINCT resource_id) AS people
  FROM landing.time_entry
  WHERE status = 'approved' AND seconds <> 0
  GROUP BY project_ref, to_char(work_on, 'YYYY-MM'), currency
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
  CASE WHEN NOT h.is_withheld THEN m.cost END AS cost,
  CASE WHEN NOT h.is_withheld THEN m.margin END AS margin,
  CASE WHEN NOT h.is_withheld THEN m.margin_ratio END AS margin_ratio,
  m.as_of,
  to_date(m.period, 'YYYY-MM') AS month_starts_on,
  coalesce(w.people, 0) AS people,
  CASE WHEN h.is_withheld THEN 'one_person' END AS cost_withheld
FROM landing.metric_project_margin AS m
LEFT JOIN worked AS w
  ON w.project_ref = m.project_ref AND w.month = m.period AND w.currency = m.currency
LEFT JOIN psa.dim_project AS p ON p.project_id = m.project_id
CROSS JOIN LATERAL (
  SELECT
    m.seconds <> 0
    AND coalesce(w.people, 0) < 2
    AND NOT pg_has_role(current_user, 'psastream_pay', 'USAGE') AS is_withheld
) AS h
