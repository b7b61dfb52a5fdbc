-- Every day of 2015 to 2044: work dates, due dates, Mondays and first days of months.
-- key: date
-- columns:
--   date | date | The day.
--   year | year | Its year.
--   quarter | YYYY-Qn | Its quarter.
--   month | YYYY-MM | Its month, as facts by month have it.
--   month_starts_on | date | First day of that month.
--   week | YYYY-Www | Its ISO week, as facts by week have it.
--   week_starts_on | date | Monday of that week.
--   weekday | 1-7 | Monday is 1.
--   is_weekend | true, false | Whether it is a Saturday or Sunday.
SELECT
  CAST(d AS date) AS date,
  CAST(extract(YEAR FROM d) AS integer) AS year,
  to_char(d, 'YYYY-"Q"Q') AS quarter,
  to_char(d, 'YYYY-MM') AS month,
  CAST(date_trunc('month', d) AS date) AS month_starts_on,
  to_char(d, 'IYYY-"W"IW') AS week,
  CAST(date_trunc('week', d) AS date) AS week_starts_on,
  CAST(extract(ISODOW FROM d) AS integer) AS weekday,
  extract(ISODOW FROM d) > 5 AS is_weekend
FROM generate_series(timestamp '2015-01-01', timestamp '2044-12-31', interval '1 day') AS d
