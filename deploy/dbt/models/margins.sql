SELECT
  project_ref || '|' || month || '|' || currency AS margin_id,
  *,
  CASE WHEN margin IS NOT NULL THEN revenue END AS revenue_with_margin
FROM {{ source('psa', 'fact_project_month_margin') }}
