-- What the time of each entry costs, for the pay role.
-- key: record_key
-- columns:
--   record_key | id | As in fact_time_entry.
--   resource_id | id | Canonical resource id.
--   work_on | date | Day of the work.
--   seconds | s | Time, exactly; adds up.
--   cost_rate | currency an hour | What an hour costs that day. Null where the source does not say: rate cards do.
--   currency | ISO 4217 | Currency of the rate.
SELECT record_key, resource_id, work_on, seconds, cost_rate, currency
FROM landing.time_entry
