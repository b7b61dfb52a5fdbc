-- A generation is one landing schema, filled from the beginning of its topics. One of them is live.
CREATE TABLE read_model.generation (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  layout text NOT NULL,
  state text NOT NULL CHECK (state IN ('building', 'live', 'retired')),
  begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  live_at timestamptz,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX generation_live ON read_model.generation (state) WHERE state = 'live';

-- Up to where a generation holds a topic: the offset of the record that comes next.
CREATE TABLE read_model.place (
  generation integer NOT NULL REFERENCES read_model.generation ON DELETE CASCADE,
  topic text NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL,
  PRIMARY KEY (generation, topic, partition)
);

-- Records that are no rows, with why. The next record under their key takes them away.
CREATE TABLE read_model.unreadable (
  generation integer NOT NULL REFERENCES read_model.generation ON DELETE CASCADE,
  topic text NOT NULL,
  record_key text NOT NULL,
  reason text NOT NULL,
  noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (generation, topic, record_key)
);

-- Which views stand in the schema psa.
CREATE TABLE read_model.published (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  generation integer NOT NULL,
  star text NOT NULL
);
