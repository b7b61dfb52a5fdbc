-- Deals by stage and currency, closed ones too.
-- like: pipeline
-- key: stage, currency
-- columns:
SELECT stage, currency, opportunities, amount, weighted_amount, as_of
FROM landing.metric_pipeline_health
