-- The durable queue.

-- What waits. Rows are inserted and deleted, never updated; a row exists until
-- its own acknowledgement. AUTOINCREMENT: an id is never given twice, and since
-- SQLite admits one writer at a time, the order of ids is the order of commits.
CREATE TABLE dovetail_message (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  created     INTEGER NOT NULL, -- milliseconds since 1970, like every time here
  destination TEXT    NOT NULL,
  shard       INTEGER NOT NULL,
  lane        TEXT    NOT NULL, -- messages of one lane are in order; '' means none
  message     TEXT    NOT NULL, -- the message's own ID
  topic       TEXT    NOT NULL,
  key         TEXT    NOT NULL,
  headers     BLOB,
  payload     BLOB    NOT NULL
) STRICT;

-- What cannot be delivered now: scheduled, retrying, behind another, dead, in
-- doubt. It keeps the id it had (or would have had) in dovetail_message.
CREATE TABLE dovetail_parked (
  id          INTEGER PRIMARY KEY,
  created     INTEGER NOT NULL,
  destination TEXT    NOT NULL,
  shard       INTEGER NOT NULL,
  lane        TEXT    NOT NULL,
  message     TEXT    NOT NULL,
  topic       TEXT    NOT NULL,
  key         TEXT    NOT NULL,
  headers     BLOB,
  payload     BLOB    NOT NULL,
  state       INTEGER NOT NULL, -- 1 scheduled 2 retry 3 behind 4 dead 5 in doubt 6 deferred
  due         INTEGER NOT NULL,
  parked      INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  replays     INTEGER NOT NULL,
  class       TEXT    NOT NULL,
  code        TEXT    NOT NULL,
  field       TEXT    NOT NULL,
  error       TEXT    NOT NULL
) STRICT;
CREATE INDEX dovetail_parked_due  ON dovetail_parked (destination, due, id) WHERE state IN (1, 2, 6);
CREATE INDEX dovetail_parked_lane ON dovetail_parked (destination, lane, id) WHERE lane <> '' AND state <> 1;
CREATE INDEX dovetail_parked_dead ON dovetail_parked (destination, id) WHERE state IN (4, 5);

-- Which relays live. One row each, so that renewing all of a relay's leases
-- writes one row.
CREATE TABLE dovetail_relay (
  relay        TEXT    PRIMARY KEY,
  until        INTEGER NOT NULL,
  destinations TEXT    NOT NULL -- as a JSON array
) STRICT;

-- Who owns which shard of a destination. The epoch counts the owners.
CREATE TABLE dovetail_shard (
  destination TEXT    NOT NULL,
  shard       INTEGER NOT NULL,
  relay       TEXT    NOT NULL,
  epoch       INTEGER NOT NULL,
  PRIMARY KEY (destination, shard)
) STRICT, WITHOUT ROWID;

-- Destinations that a person has paused.
CREATE TABLE dovetail_pause (
  destination TEXT    PRIMARY KEY,
  who         TEXT    NOT NULL,
  why         TEXT    NOT NULL,
  at          INTEGER NOT NULL
) STRICT;

-- Deduplication keys that were seen. Touched only for messages that have one.
CREATE TABLE dovetail_dedup (
  destination TEXT    NOT NULL,
  dedup       TEXT    NOT NULL,
  message     TEXT    NOT NULL,
  seen        INTEGER NOT NULL,
  PRIMARY KEY (destination, dedup)
) STRICT, WITHOUT ROWID;
CREATE INDEX dovetail_dedup_seen ON dovetail_dedup (seen);

-- What operators did.
CREATE TABLE dovetail_operation (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  at          INTEGER NOT NULL,
  who         TEXT    NOT NULL,
  why         TEXT    NOT NULL,
  action      TEXT    NOT NULL, -- pause, resume, replay, discard
  destination TEXT    NOT NULL,
  filter      TEXT    NOT NULL, -- as JSON
  messages    INTEGER NOT NULL
) STRICT;
