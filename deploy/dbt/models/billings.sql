SELECT
  project_ref || '|' || currency || '|' || state AS billing_id,
  *,
  CAST(as_of AT TIME ZONE 'UTC' AS date) AS as_of_on
FROM {{ source('psa', 'fact_billing') }}
