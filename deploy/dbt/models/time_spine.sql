SELECT date AS date_day FROM {{ source('psa', 'dim_date') }}
