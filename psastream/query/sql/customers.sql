-- Every customer, with how far it is.
-- key: customer_id
-- first: customer, status, engagements
-- columns:
--   customer_id | id | Canonical customer id.
--   customer | text | Name.
--   status | word | prospect, requested (ordered from the ERP) or active (the ERP holds it).
--   engagements | deals | Deals that name it.
--   crm_id | id | Source id in the CRM. Null where the CRM does not hold it.
--   erp_id | id | Source id in the ERP, of several in the first. Null where none holds it.
--   erp_ids | list of ids | Source id in each ERP that holds it.
--   as_of | instant | The latest change that went in.
SELECT customer_id, name AS customer, status, engagements, crm_id, erp_id, erp_ids, as_of
FROM psa.status.customer
ORDER BY customer_id
