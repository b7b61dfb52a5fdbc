-- What the time of each entry costs, for the pay role.
-- key: record_key
-- columns:
--   record_key | id | As in fact_time_entry.
--   resource_id | id | Canonical resource id, as in fact_time_entry.
--   work_on | date | Day of the work.
--   seconds | s | Time, exactly; adds up.
--   cost_rate | currency an hour | What an hour costs that day. Null where the source does not say: rate cards do.
--   currency | ISO 4217 | Currency of the rate.
SELECT f.record_key, f.resource_id, t.work_on, t.seconds, t.cost_rate, t.currency
FROM landing.time_entry AS t
JOIN psa.fact_time_entry AS f ON f.record_key = t.record_key
