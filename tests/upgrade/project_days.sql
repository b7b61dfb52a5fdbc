-- name: project_days
-- key: project_ref, work_on, currency
-- sums: seconds, entries
-- unit: s, entries
-- period: work_on
SELECT project_ref, work_on, currency, SUM(seconds) AS seconds, COUNT(*) AS entries
FROM time_entry
WHERE status = 'approved'
GROUP BY project_ref, work_on, currency
