-- What people cost and are billed at, for the pay role.
-- key: id
-- columns:
--   id | id | Source id of the rate card.
--   resource_id | id | Canonical resource id.
--   cost_rate | currency an hour | What an hour of the person costs today.
--   cost_rates | list of rates | The same by the day from which it holds, as JSON.
--   bill_rate | currency an hour | What an hour of the person is billed at.
--   currency | ISO 4217 | Currency of the rates.
--   as_of | instant | When the source says the row changed.
SELECT id, resource_id, cost_rate, cost_rates, bill_rate, currency, source_at AS as_of
FROM landing.rate_card
