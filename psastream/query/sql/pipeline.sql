-- Deals by stage and currency, closed ones too.
-- key: stage, currency
-- first: stage, opportunities, amount, weighted_amount, currency
-- columns:
--   stage | word | prospect, qualified, proposed, negotiating, won or lost.
--   currency | ISO 4217 | Currency of the amounts.
--   opportunities | deals | Deals with an amount and a currency; adds up.
--   amount | currency | Sum of their values; adds up within a currency.
--   weighted_amount | currency | Sum of value times probability; adds up within a currency.
--   as_of | instant | The latest change that went in.
SELECT stage, currency, opportunities, amount, weighted_amount, as_of
FROM psa.metric.pipeline_health
ORDER BY stage, currency
