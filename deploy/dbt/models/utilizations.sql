SELECT
  resource_id || '|' || week AS utilization_id,
  *,
  CASE WHEN utilization_ratio IS NOT NULL THEN billable_seconds END AS utilized_seconds,
  CASE WHEN utilization_ratio IS NOT NULL THEN available_hours * 3600 END AS available_seconds
FROM {{ source('psa', 'fact_person_week_utilization') }}
WHERE is_booked_period
