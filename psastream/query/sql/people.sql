-- Everybody whose time is planned and booked, as the resource tool has them.
-- key: resource_id
-- first: person, kind, role, is_active, starts_on, ends_on
-- columns:
--   resource_id | id | Canonical resource id.
--   person | text | Full name.
--   kind | word | employee, contractor, or placeholder: a seat and no person.
--   role | text | Name of the role. Null where the person has none.
--   is_active | true, false | False once archived.
--   starts_on | date | First day of work. Null where the source does not tell it.
--   ends_on | date | Last day of work. Null while there is none.
--   region_ref | id | Region whose holidays the person has.
--   source_id | id | Source id in the resource tool.
--   as_of | instant | When the source says the row changed.
SELECT
  p.resource_id,
  p.name AS person,
  p.kind,
  r.name AS role,
  p.is_active,
  p.starts_on,
  p.ends_on,
  p.region_ref,
  p.id AS source_id,
  p.source_at AS as_of
FROM psa.resource AS p
LEFT JOIN psa.role AS r ON r.id = p.role_ref
QUALIFY row_number() OVER (PARTITION BY p.resource_id ORDER BY p.source_at DESC, p.id) = 1
ORDER BY resource_id
