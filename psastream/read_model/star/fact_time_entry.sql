-- Every time entry, as the PSA has it, with whose it is. What it cost is in pay_time_entry.
-- like: time_entries
-- key: project_ref, id
-- columns:
--   record_key | id | Project and source id: no two rows have the same.
SELECT
  t.id,
  t.project_ref,
  coalesce(s.project_id, t.project_ref) AS project_id,
  p.project,
  p.customer_id,
  p.customer,
  p.is_internal,
  coalesce(a.resource_id, t.resource_id) AS resource_id,
  w.person,
  t.work_on,
  t.status,
  t.is_billable,
  t.hours,
  t.seconds,
  t.bill_rate,
  t.currency,
  t.source_at AS as_of,
  t.record_key
FROM landing.time_entry AS t
LEFT JOIN psa.bridge_address AS a
  ON
    a.address_id = t.resource_id
    AND CAST(date_trunc('week', t.work_on) AS date) + 6
    BETWEEN coalesce(a.from_on, DATE '0001-01-01') AND coalesce(a.until_on, DATE '9999-12-31')
LEFT JOIN landing.project AS s ON s.id = t.project_ref
LEFT JOIN psa.dim_project AS p ON p.project_id = coalesce(s.project_id, t.project_ref)
LEFT JOIN psa.dim_person AS w ON w.resource_id = coalesce(a.resource_id, t.resource_id)
