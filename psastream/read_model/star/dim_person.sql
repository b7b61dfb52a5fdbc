-- Everybody whose time is planned and booked, as the resource tool has them.
-- like: people
-- key: resource_id
-- columns:
SELECT DISTINCT ON (p.resource_id)
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
FROM landing.resource AS p
LEFT JOIN landing.role AS r ON r.id = p.role_ref
ORDER BY p.resource_id, p.source_at DESC NULLS LAST, p.id COLLATE "C"
