-- Whose time is booked under an e-mail address: rows of PSAs name their people by address.
-- key: address_id, from_on
-- first: person, from_on, until_on, address_id
-- columns:
--   address_id | id | Id minted from the address, as time entries and expenses have it for their person.
--   from_on | date | First day of the claim. Null for the first claim, which holds before, too.
--   until_on | date | Last day of the claim. Null while nobody else claims the address.
--   resource_id | id | Canonical resource id of who claims it.
--   person | text | Full name.
WITH claimed AS (
  SELECT address_id, coalesce(starts_on, DATE '0001-01-01') AS claimed_on, resource_id, name, id
  FROM psa.resource
  WHERE address_id IS NOT NULL
  QUALIFY row_number() OVER (PARTITION BY address_id, claimed_on ORDER BY id DESC) = 1
)
SELECT
  address_id,
  CASE WHEN lag(claimed_on) OVER claims IS NOT NULL THEN claimed_on END AS from_on,
  lead(claimed_on) OVER claims - 1 AS until_on,
  resource_id,
  name AS person
FROM claimed
WINDOW claims AS (PARTITION BY address_id ORDER BY claimed_on)
ORDER BY address_id, claimed_on
