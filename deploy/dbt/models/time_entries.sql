SELECT * FROM {{ source('psa', 'fact_time_entry') }}
