-- Whose time is booked under an e-mail address: rows of PSAs name their people by address.
-- like: addresses
-- key: address_id, from_on
-- columns:
WITH claimed AS (
  SELECT DISTINCT ON (address_id, coalesce(starts_on, DATE '0001-01-01'))
    address_id,
    coalesce(starts_on, DATE '0001-01-01') AS claimed_on,
    resource_id,
    name
  FROM landing.resource
  WHERE address_id IS NOT NULL
  ORDER BY address_id, coalesce(starts_on, DATE '0001-01-01'), id COLLATE "C" DESC
)
SELECT
  address_id,
  CASE WHEN lag(claimed_on) OVER claims IS NOT NULL THEN claimed_on END AS from_on,
  lead(claimed_on) OVER claims - 1 AS until_on,
  resource_id,
  name AS person
FROM claimed
WINDOW claims AS (PARTITION BY address_id ORDER BY claimed_on)
