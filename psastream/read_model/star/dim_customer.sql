-- Every customer, with how far it is.
-- like: customers
-- key: customer_id
-- columns:
--   erp_ids | list of ids | Source id in each ERP that holds it, as JSON.
SELECT customer_id, name AS customer, status, engagements, crm_id, erp_id, erp_ids, as_of
FROM landing.status_customer
