-- Everybody's planned work, by assignment.
-- like: assignments
-- key: id
-- columns:
--   planned_cost | currency | Hours at cost rate; adds up within a currency. Null without a rate, and for everybody but the pay role: it tells what a person costs.
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
  CASE WHEN pg_has_role(current_user, 'psastream_pay', 'USAGE') THEN a.planned_cost END
    AS planned_cost,
  a.planned_revenue,
  a.currency,
  a.as_of
FROM landing.status_assignment AS a
LEFT JOIN psa.dim_project AS p ON p.project_id = coalesce(a.project_id, a.project_ref)
LEFT JOIN psa.dim_person AS w ON w.resource_id = a.resource_id
