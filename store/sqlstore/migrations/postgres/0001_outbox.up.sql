-- The durable queue.

-- CACHE 1: ids are given in the order in which they are asked for, by all
-- sessions. Which late commits a reader still waits for is found by that.
CREATE SEQUENCE dovetail_message_id AS bigint CACHE 1;

-- What waits. Rows are inserted and deleted, never updated; a row exists until
-- its own acknowledgement. There is one index.
--
-- The default of id takes the transaction's number before the id. So whoever
-- holds an id that is not visible yet is known by a number that is older than
-- any that is taken after that id was missed.
CREATE TABLE dovetail_message (
  id          bigint   NOT NULL DEFAULT nextval(CASE WHEN pg_current_xact_id() IS NOT NULL THEN 'dovetail_message_id'::regclass END),
  -- Milliseconds since 1970, like every time here. The default is for COPY, which
  -- stores rows together only where no default is volatile.
  created     bigint   NOT NULL DEFAULT (extract(epoch FROM statement_timestamp()) * 1000)::bigint,
  shard       smallint NOT NULL,
  destination text     COLLATE "C" NOT NULL,
  lane        text     COLLATE "C", -- messages of one lane are in order; '' means none, NULL the key
  message     text     COLLATE "C" NOT NULL, -- the message's own ID
  topic       text     COLLATE "C" NOT NULL,
  key         text     COLLATE "C" NOT NULL,
  headers     bytea,
  payload     bytea    NOT NULL,
  PRIMARY KEY (id)
) WITH (fillfactor = 100, toast_tuple_target = 8160,
  -- The table is empty most of the time. Statistics of an empty table are a trap,
  -- so there are none, and dead rows are removed early and at full speed.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 2000000000);
ALTER TABLE dovetail_message ALTER COLUMN payload SET STORAGE EXTERNAL;

-- What cannot be delivered now: scheduled, retrying, behind another, dead, in
-- doubt. It keeps the id it had (or would have had) in dovetail_message.
CREATE TABLE dovetail_parked (
  id          bigint   PRIMARY KEY,
  created     bigint   NOT NULL,
  shard       smallint NOT NULL,
  destination text     COLLATE "C" NOT NULL,
  lane        text     COLLATE "C" NOT NULL,
  message     text     COLLATE "C" NOT NULL,
  topic       text     COLLATE "C" NOT NULL,
  key         text     COLLATE "C" NOT NULL,
  headers     bytea,
  payload     bytea    NOT NULL,
  state       smallint NOT NULL, -- 1 scheduled 2 retry 3 behind 4 dead 5 in doubt 6 deferred
  due         bigint   NOT NULL,
  parked      bigint   NOT NULL,
  attempts    integer  NOT NULL,
  replays     integer  NOT NULL,
  class       text     NOT NULL,
  code        text     NOT NULL,
  field       text     NOT NULL,
  error       text     NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX dovetail_parked_due  ON dovetail_parked (destination, due, id) WHERE state IN (1, 2, 6);
CREATE INDEX dovetail_parked_lane ON dovetail_parked (destination, lane, id) WHERE lane <> '' AND state <> 1;
CREATE INDEX dovetail_parked_dead ON dovetail_parked (destination, id) WHERE state IN (4, 5);

-- Which relays live. One row each, so that renewing all of a relay's leases
-- writes one row.
CREATE TABLE dovetail_relay (
  relay        text   PRIMARY KEY,
  until        bigint NOT NULL,
  destinations text   NOT NULL -- as a JSON array
) WITH (fillfactor = 10);

-- Who owns which shard of a destination. The epoch counts the owners.
CREATE TABLE dovetail_shard (
  destination text     COLLATE "C" NOT NULL,
  shard       smallint NOT NULL,
  relay       text     NOT NULL,
  epoch       bigint   NOT NULL,
  PRIMARY KEY (destination, shard)
) WITH (fillfactor = 50);

-- Destinations that a person has paused.
CREATE TABLE dovetail_pause (
  destination text   COLLATE "C" PRIMARY KEY,
  who         text   NOT NULL,
  why         text   NOT NULL,
  at          bigint NOT NULL
);

-- Deduplication keys that were seen. Touched only for messages that have one.
CREATE TABLE dovetail_dedup (
  destination text   COLLATE "C" NOT NULL,
  dedup       text   COLLATE "C" NOT NULL,
  message     text   NOT NULL,
  seen        bigint NOT NULL,
  PRIMARY KEY (destination, dedup)
);
CREATE INDEX dovetail_dedup_seen ON dovetail_dedup (seen);

-- What operators did.
CREATE TABLE dovetail_operation (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at          bigint NOT NULL,
  who         text   NOT NULL,
  why         text   NOT NULL,
  action      text   NOT NULL, -- pause, resume, replay, discard
  destination text   NOT NULL,
  filter      text   NOT NULL, -- as JSON
  messages    bigint NOT NULL
);

-- The reads and deletes of the hot table are functions, since a function carries
-- its own planner settings: with them the primary key is walked, whatever the
-- statistics say, behind any pooler, in one round trip.

-- dovetail_done deletes what was delivered from what waits, and returns how many
-- it found. With relaxed, the
-- commit does not wait for the disk: a server that crashes may then deliver again
-- what was acknowledged in the last moment, and loses nothing.
CREATE FUNCTION dovetail_done(ids bigint[], relaxed boolean) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  n bigint;
BEGIN
  IF relaxed THEN
    PERFORM set_config('synchronous_commit', 'off', true);
  END IF;
  DELETE FROM dovetail_message WHERE id = ANY (ids);
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;

-- dovetail_read returns, in one snapshot (it is STABLE): a row without id that
-- holds the snapshot in message and, if number is asked for, a transaction number
-- in topic; then what has appeared in the ranges from lo to hi, whose generation
-- is -1 or has an owner that has ended; then what comes after a position. Rows of
-- other destinations and shards come without content, so that they are not taken
-- for missing; payloads above 8 kB come as their size. lane is NULL where it is the
-- key. before says what is parked before a row in its lane: 1 something that
-- waits, 2 something that is dead or in doubt, 3 both.
CREATE FUNCTION dovetail_read(
  after bigint, most integer, lo bigint[], hi bigint[], generation bigint[], owners bigint[], awaited bigint[], number boolean,
  names text[], masks bigint[]
) RETURNS TABLE (
  id bigint, created bigint, destination text, shard smallint, lane text, message text, topic text, key text,
  headers bytea, payload bytea, size integer, before integer
)
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  held boolean := EXISTS (SELECT 1 FROM dovetail_parked p WHERE p.lane <> '' AND p.state <> 1);
  now pg_snapshot := pg_current_snapshot();
  first text := names[1];
  changed bigint[];
BEGIN
  RETURN QUERY SELECT NULL::bigint, NULL::bigint, NULL::text, NULL::smallint, NULL::text,
    now::text, CASE WHEN number THEN pg_current_xact_id()::text END, NULL::text,
    NULL::bytea, NULL::bytea, NULL::integer, NULL::integer;
  IF cardinality(lo) > 0 THEN
    changed := ARRAY(SELECT o.g FROM unnest(owners, awaited) AS o(x, g) WHERE pg_visible_in_snapshot(o.x::text::xid8, now));
    RETURN QUERY
    SELECT q.id, CASE WHEN q.yes THEN q.created END, CASE WHEN q.yes THEN q.destination END, q.shard, q.lane, q.message, q.topic, q.key, q.headers,
      CASE WHEN q.yes AND octet_length(q.payload) <= 8192 THEN q.payload END,
      CASE WHEN octet_length(q.payload) > 8192 THEN octet_length(q.payload) END,
      CASE WHEN held AND q.yes THEN (
        SELECT nullif(coalesce(bit_or(CASE WHEN p.state IN (2, 3, 6) THEN 1 ELSE 2 END), 0), 0) FROM dovetail_parked p
        WHERE p.lane <> '' AND p.state <> 1 AND p.destination = q.destination AND p.lane = coalesce(q.lane, q.key) AND p.id < q.id) END
    FROM (
      SELECT h.* FROM unnest(lo, hi, generation) AS r(a, b, g)
      CROSS JOIN LATERAL (
        SELECT m.*, CASE WHEN m.destination = first THEN (masks[1] >> m.shard) & 1 = 1
          ELSE coalesce((masks[array_position(names, m.destination)] >> m.shard) & 1 = 1, false) END AS yes
        FROM dovetail_message m WHERE m.id BETWEEN r.a AND r.b ORDER BY m.id LIMIT most + 1
      ) h
      WHERE r.g = -1 OR r.g = ANY (changed)
      LIMIT most + 1
    ) q;
  END IF;
  RETURN QUERY
    SELECT q.id, CASE WHEN q.yes THEN q.created END, CASE WHEN q.yes THEN q.destination END, q.shard, q.lane, q.message, q.topic, q.key, q.headers,
      CASE WHEN q.yes AND octet_length(q.payload) <= 8192 THEN q.payload END,
      CASE WHEN octet_length(q.payload) > 8192 THEN octet_length(q.payload) END,
      CASE WHEN held AND q.yes THEN (
        SELECT nullif(coalesce(bit_or(CASE WHEN p.state IN (2, 3, 6) THEN 1 ELSE 2 END), 0), 0) FROM dovetail_parked p
        WHERE p.lane <> '' AND p.state <> 1 AND p.destination = q.destination AND p.lane = coalesce(q.lane, q.key) AND p.id < q.id) END
    FROM (
      SELECT m.*, CASE WHEN m.destination = first THEN (masks[1] >> m.shard) & 1 = 1
          ELSE coalesce((masks[array_position(names, m.destination)] >> m.shard) & 1 = 1, false) END AS yes
      FROM dovetail_message m WHERE m.id > after ORDER BY m.id LIMIT most
    ) q;
END $$;

-- dovetail_park moves entries to the parked ones, or changes them there, and
-- returns how many it found; see SettleMessages. A null clock is the database's.
CREATE FUNCTION dovetail_park(clock bigint, parkings jsonb) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  changed bigint;
  moved bigint;
  now_ms bigint := coalesce(clock, (extract(epoch FROM clock_timestamp()) * 1000)::bigint);
BEGIN
  UPDATE dovetail_parked q SET state = p.state, due = p.wait + now_ms, parked = now_ms,
    attempts = p.attempts, class = p.class, code = p.code, field = p.field, error = p.error
  FROM jsonb_to_recordset(parkings) AS p(id bigint, state smallint, wait bigint, attempts integer, class text, code text, field text, error text)
  WHERE q.id = p.id;
  GET DIAGNOSTICS changed = ROW_COUNT;
  WITH gone AS (
    DELETE FROM dovetail_message m
    USING jsonb_to_recordset(parkings) AS p(id bigint, state smallint, wait bigint, attempts integer, class text, code text, field text, error text)
    WHERE m.id = p.id
    RETURNING m.id, m.created, m.shard, m.destination, coalesce(m.lane, m.key) AS lane, m.message, m.topic, m.key, m.headers, m.payload,
      p.state, p.wait, p.attempts, p.class, p.code, p.field, p.error
  )
  INSERT INTO dovetail_parked (id, created, shard, destination, lane, message, topic, key, headers, payload,
    state, due, parked, attempts, replays, class, code, field, error)
  SELECT id, created, shard, destination, lane, message, topic, key, headers, payload,
    state, wait + now_ms, now_ms, attempts, 0, class, code, field, error
  FROM gone;
  GET DIAGNOSTICS moved = ROW_COUNT;
  RETURN changed + moved;
END $$;
