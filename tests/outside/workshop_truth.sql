-- What must follow from the workshop's rows, by PostgreSQL alone: `truth.margin`, `truth.utilization`
-- and `truth.orders`. Money is divided once, when all of it is added up, half-even at 6 digits.

CREATE SCHEMA truth;

-- Of which deals in which countries the ERP holds the project.
CREATE TABLE truth.held (deal text, country char(2), PRIMARY KEY (deal, country));

-- A quotient in whole numbers, half-even; the divisor is positive.
CREATE FUNCTION truth.half_even(dividend numeric, divisor numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT whole + CASE
        WHEN 2 * abs(rest) > divisor OR (2 * abs(rest) = divisor AND whole % 2 <> 0)
        THEN sign(dividend) ELSE 0 END
    FROM (SELECT div(dividend, divisor)) AS quotient (whole),
        LATERAL (SELECT dividend - divisor * whole) AS remainder (rest)
$$;

-- What comes to so much an hour, given for as many seconds: an amount, or hours out of seconds.
CREATE FUNCTION truth.by_the_hour(seconds numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE AS $$
    SELECT truth.half_even(seconds * 1000000, 3600) * 0.000001
$$;

-- Of each task the project that is said of the task at the top. In a circle there is none, and
-- neither where a task on the way is missing.
CREATE VIEW truth.top AS
WITH RECURSIVE way AS (
    SELECT id AS task_id, parent_id, project_id FROM workshop.task
    UNION
    SELECT way.task_id, above.parent_id, above.project_id
    FROM way JOIN workshop.task AS above ON above.id = way.parent_id
)
SELECT task_id, project.*
FROM way JOIN workshop.project ON project.id = way.project_id
WHERE way.parent_id IS NULL;

-- Sessions that count.
CREATE VIEW truth.entry AS
SELECT
    session.id,
    session.person_id,
    session.shown_at::date AS day,
    session.activity <> 'internal' AS is_billable,
    truth.half_even(EXTRACT(epoch FROM
        COALESCE(worked, ended - began) - COALESCE(pause, interval '0')), 1) AS seconds,
    top.id AS project_id,
    top.deal,
    top.country,
    rate.bill,
    rate.cost,
    rate.currency
FROM workshop.session
JOIN truth.top USING (task_id)
LEFT JOIN workshop.rate USING (person_id, activity)
WHERE session.state = 'approved'
    AND NOT session.is_removed
    AND COALESCE(worked, ended - began) IS NOT NULL;

CREATE VIEW truth.margin AS
SELECT
    project_id,
    month,
    currency,
    sum(seconds) AS seconds,
    truth.by_the_hour(sum(revenue)) AS revenue,
    truth.by_the_hour(sum(cost)) AS cost
FROM (
    SELECT
        project_id,
        to_char(day, 'YYYY-MM'),
        COALESCE(currency, 'XXX'),
        seconds,
        CASE WHEN is_billable THEN seconds * COALESCE(bill, 0) ELSE 0 END,
        seconds * COALESCE(cost, 0)
    FROM truth.entry
    UNION ALL
    SELECT
        top.id,
        to_char(spent, 'YYYY-MM'),
        cost.currency,
        0,
        CASE WHEN is_billed THEN 3600 * paid ELSE 0 END,
        3600 * paid
    FROM workshop.cost JOIN truth.top USING (task_id)
    WHERE state = 'approved'
) AS share (project_id, month, currency, seconds, revenue, cost)
GROUP BY project_id, month, currency
HAVING sum(seconds) <> 0 OR sum(revenue) <> 0 OR sum(cost) <> 0;

-- A person nobody knows has no hours to be available in; who has left has none from the next day on.
CREATE VIEW truth.utilization AS
WITH week AS (
    SELECT
        person_id,
        date_trunc('week', day)::date AS monday,
        COALESCE(sum(seconds) FILTER (WHERE is_billable), 0) AS billable,
        sum(seconds) AS total
    FROM truth.entry
    GROUP BY person_id, monday
)
SELECT
    person_id,
    to_char(monday, 'IYYY-"W"IW') AS week,
    billable,
    total,
    CASE WHEN person.id IS NOT NULL THEN truth.by_the_hour(
        EXTRACT(epoch FROM COALESCE((
            SELECT sum(length)
            FROM (VALUES (0, mon), (1, tue), (2, wed), (3, thu), (4, fri), (5, sat), (6, sun))
                AS each (number, length)
            WHERE monday + number <= COALESCE(left_on, 'infinity')
        ), interval '0'))
    ) END AS available
FROM week LEFT JOIN workshop.person ON person.id = person_id;

-- Time bills that the ERP should get: of billable sessions with a rate, on projects that it holds,
-- but for those an invoice stands for. A line that several sessions name stands for none of them.
CREATE VIEW truth.orders AS
WITH named AS (
    SELECT line_id, min(id::text) AS session_id
    FROM workshop.session
    WHERE line_id IS NOT NULL AND NOT is_removed
    GROUP BY line_id
    HAVING count(*) = 1
), invoiced AS (
    SELECT session_id
    FROM named
    JOIN workshop.invoice_line AS line ON line.id = named.line_id
    JOIN workshop.invoice ON invoice.id = line.invoice_id
    WHERE invoice.state <> 'cancelled'
)
SELECT entry.id, project_id, deal, country, day, seconds, bill, currency
FROM truth.entry JOIN truth.held USING (deal, country)
WHERE is_billable
    AND bill IS NOT NULL
    AND NOT EXISTS (SELECT FROM invoiced WHERE session_id = entry.id::text);
