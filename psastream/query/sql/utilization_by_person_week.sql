-- Billable utilization of each person, by ISO week.
-- key: resource_id, week
-- first: person, week, billable_hours, available_hours, utilization_ratio, ratio_reason, role
-- columns:
--   resource_id | id | Canonical resource id; the id of the address where nobody claims it.
--   person | text | Full name. Null where nobody claims the address of the hours.
--   kind | word | employee, contractor or placeholder. Null where `person` is.
--   role | text | Name of the role. Null where the person has none.
--   week | YYYY-Www | ISO week of the work date.
--   week_starts_on | date | Its Monday.
--   billable_hours | h | Approved billable time, half-even at 2 digits. Add up `billable_seconds`.
--   total_hours | h | Approved time, half-even at 2 digits. Add up `total_seconds` instead.
--   billable_seconds | s | Approved billable time, exactly; adds up.
--   total_seconds | s | Approved time, exactly; adds up.
--   available_hours | h | Hours of the working pattern less leave and holidays; adds up. Null while they are not known.
--   utilization_ratio | ratio | `billable_hours` / `available_hours`. Neither add nor average it: of several rows it is sum(billable_seconds) / sum(available_hours * 3600), over those with available hours. Null where `ratio_reason` says why.
--   ratio_reason | word | unknown_person, unknown_hours (no working pattern) or no_availability (nothing available in the week). Null where there is a ratio.
--   is_booked_period | true, false | Whether the week lies between the first and the last one in which anybody has approved time. Rows begin with the employment: a ratio of several weeks is one of those alone.
--   as_of | instant | The latest change that went in.
SELECT
  resource_id,
  p.person,
  p.kind,
  p.role,
  u.iso_week AS week,
  CAST(strptime(u.iso_week || '-1', '%G-W%V-%u') AS DATE) AS week_starts_on,
  u.billable_hours,
  u.total_hours,
  u.billable_seconds,
  u.total_seconds,
  u.available_hours,
  u.utilization_ratio,
  u.ratio_reason,
  coalesce(
    u.iso_week BETWEEN min(u.iso_week) FILTER (WHERE u.total_seconds <> 0) OVER ()
    AND max(u.iso_week) FILTER (WHERE u.total_seconds <> 0) OVER (),
    false
  ) AS is_booked_period,
  u.as_of
FROM psa.metric.utilization AS u
LEFT JOIN people AS p USING (resource_id)
ORDER BY resource_id, week
