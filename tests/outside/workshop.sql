-- A workshop's own time tracking, in the shapes that people have: intervals, numbers of any scale, a
-- tree of tasks, clocks with and without a zone, keys of two columns, rows that are struck out
-- instead of deleted. No table is replicated but by its key, and no reference is enforced.

CREATE SCHEMA workshop;
CREATE TYPE workshop.state AS ENUM ('draft', 'submitted', 'approved', 'rejected');
CREATE TYPE workshop.invoice_state AS ENUM ('draft', 'sent', 'paid', 'cancelled');
CREATE DOMAIN workshop.currency AS char(3);

CREATE TABLE workshop.project (
    id uuid PRIMARY KEY,
    title text NOT NULL,
    deal text,           -- as the CRM knows it
    country char(2),
    currency workshop.currency NOT NULL,
    is_open boolean NOT NULL
);

CREATE TABLE workshop.task (
    id bigint PRIMARY KEY,
    parent_id bigint,
    project_id uuid,     -- said of the task at the top
    title text NOT NULL
);

CREATE TABLE workshop.person (
    id integer PRIMARY KEY,
    full_name text NOT NULL,
    mon interval, tue interval, wed interval, thu interval, fri interval, sat interval, sun interval,
    left_on date
);

CREATE TABLE workshop.rate (
    person_id integer,
    activity text,
    bill numeric,
    cost numeric,
    currency workshop.currency,
    PRIMARY KEY (person_id, activity)
);

CREATE TABLE workshop.session (
    id uuid PRIMARY KEY,
    person_id integer NOT NULL,
    task_id bigint NOT NULL,
    activity text NOT NULL,
    shown_at timestamp NOT NULL, -- what the clock on the wall showed
    began timestamptz,
    ended timestamptz,
    worked interval,             -- where nobody looked at the clock
    pause interval,
    state workshop.state NOT NULL,
    is_removed boolean NOT NULL DEFAULT false,
    line_id bigint,              -- of the invoice
    note text
);

CREATE TABLE workshop.cost (
    id bigint PRIMARY KEY,
    task_id bigint NOT NULL,
    spent timestamp(0) NOT NULL,
    paid numeric NOT NULL,
    currency workshop.currency NOT NULL,
    is_billed boolean NOT NULL,
    state workshop.state NOT NULL
);

CREATE TABLE workshop.invoice (
    id bigint PRIMARY KEY,
    number text,
    project_id uuid,
    issued date,
    currency workshop.currency,
    state workshop.invoice_state NOT NULL
);

CREATE TABLE workshop.invoice_line (
    id bigint PRIMARY KEY,
    invoice_id bigint NOT NULL,
    quantity numeric NOT NULL,   -- hours
    amount numeric NOT NULL
);

-- Where Debezium is asked for a snapshot, and tells itself where each part of one begins and ends.
CREATE TABLE workshop.debezium_signal (
    id varchar(42) PRIMARY KEY,
    type varchar(32) NOT NULL,
    data varchar(2048)
);
