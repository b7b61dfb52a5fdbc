-- Approved time of each project by how far its billing is. The states add up to the approved time.
-- like: billing_by_state
-- key: project_ref, currency, state
-- columns:
SELECT
  b.project_ref,
  coalesce(b.project_id, b.project_ref) AS project_id,
  p.project,
  p.customer_id,
  p.customer,
  p.is_internal,
  b.state,
  b.currency,
  b.hours,
  b.seconds,
  b.amount,
  b.entries,
  b.as_of
FROM landing.status_billing AS b
LEFT JOIN psa.dim_project AS p ON p.project_id = coalesce(b.project_id, b.project_ref)
