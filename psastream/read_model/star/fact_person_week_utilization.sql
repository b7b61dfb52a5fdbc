-- Billable utilization of each person, by ISO week.
-- like: utilization_by_person_week
-- key: resource_id, week
-- columns:
SELECT
  u.resource_id,
  p.person,
  p.kind,
  p.role,
  u.iso_week AS week,
  to_date(u.iso_week, 'IYYY-"W"IW') AS week_starts_on,
  u.billable_hours,
  u.total_hours,
  u.billable_seconds,
  u.total_seconds,
  u.available_hours,
  u.utilization_ratio,
  u.ratio_reason,
  coalesce(
    u.iso_week BETWEEN min(u.iso_week COLLATE "C") FILTER (WHERE u.total_seconds <> 0) OVER ()
    AND max(u.iso_week COLLATE "C") FILTER (WHERE u.total_seconds <> 0) OVER (),
    false
  ) AS is_booked_period,
  u.as_of
FROM landing.metric_utilization AS u
LEFT JOIN psa.dim_person AS p ON p.resource_id = u.resource_id
