-- The durable queue.
--
-- Texts are VARBINARY: they compare byte by byte. Every collation that both MySQL
-- and MariaDB have takes 'a' and 'a ' for the same, which would mix two keys.

-- What waits. Rows are inserted and deleted, never updated; a row exists until
-- its own acknowledgement. No index but the primary key: producers lock nothing
-- but their own rows, and nothing can deadlock. Ids are given when a row is
-- inserted and seen when its transaction commits, so not in their order.
CREATE TABLE IF NOT EXISTS dovetail_message (
  id          BIGINT          NOT NULL AUTO_INCREMENT,
  created     BIGINT          NOT NULL, -- milliseconds since 1970, like every time here
  destination VARBINARY(1024) NOT NULL,
  shard       SMALLINT        NOT NULL,
  lane        VARBINARY(1024) NOT NULL, -- messages of one lane are in order; '' means none
  message     VARBINARY(1024) NOT NULL, -- the message's own ID
  topic       VARBINARY(1024) NOT NULL,
  `key`       VARBINARY(1024) NOT NULL,
  headers     LONGBLOB,
  size        BIGINT          NOT NULL, -- of the payload, in bytes
  payload     BLOB,                     -- if it is small
  large       LONGBLOB,                 -- if not: apart, so that a page of large ones is read without them
  PRIMARY KEY (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 STATS_PERSISTENT=1 STATS_AUTO_RECALC=0;

-- What cannot be delivered now: scheduled, retrying, behind another, dead, in
-- doubt. It keeps the id it had (or would have had) in dovetail_message.
CREATE TABLE IF NOT EXISTS dovetail_parked (
  id          BIGINT          NOT NULL,
  created     BIGINT          NOT NULL,
  destination VARBINARY(1024) NOT NULL,
  shard       SMALLINT        NOT NULL,
  lane        VARBINARY(1024) NOT NULL,
  message     VARBINARY(1024) NOT NULL,
  topic       VARBINARY(1024) NOT NULL,
  `key`       VARBINARY(1024) NOT NULL,
  headers     LONGBLOB,
  size        BIGINT          NOT NULL,
  payload     BLOB,
  large       LONGBLOB,
  state       TINYINT         NOT NULL, -- 1 scheduled 2 retry 3 behind 4 dead 5 in doubt 6 deferred
  due         BIGINT          NOT NULL,
  parked      BIGINT          NOT NULL,
  attempts    BIGINT          NOT NULL,
  replays     BIGINT          NOT NULL,
  class       VARBINARY(64)   NOT NULL,
  code        BLOB            NOT NULL,
  field       BLOB            NOT NULL,
  error       BLOB            NOT NULL,
  -- When time alone makes it due; null for what waits for another or for a person,
  -- which the index then keeps out of the way.
  ripe        BIGINT          GENERATED ALWAYS AS (CASE WHEN state IN (1, 2, 6) THEN due END) STORED,
  PRIMARY KEY (id),
  KEY dovetail_parked_due  (destination, ripe, id, shard),
  KEY dovetail_parked_lane (destination, lane, id, state, shard),
  KEY dovetail_parked_dead (state, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;

-- Which relays live. One row each, so that renewing all of a relay's leases
-- writes one row.
CREATE TABLE IF NOT EXISTS dovetail_relay (
  relay        VARBINARY(255) NOT NULL,
  until        BIGINT         NOT NULL,
  renewals     BIGINT         NOT NULL, -- so that a renewal always changes the row
  destinations LONGBLOB       NOT NULL, -- as a JSON array
  PRIMARY KEY (relay)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;

-- Who owns which shard of a destination. The epoch counts the owners.
CREATE TABLE IF NOT EXISTS dovetail_shard (
  destination VARBINARY(1024) NOT NULL,
  shard       SMALLINT        NOT NULL,
  relay       VARBINARY(255)  NOT NULL,
  epoch       BIGINT          NOT NULL,
  PRIMARY KEY (destination, shard)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;

-- Destinations that a person has paused.
CREATE TABLE IF NOT EXISTS dovetail_pause (
  destination VARBINARY(1024) NOT NULL,
  who         BLOB            NOT NULL,
  why         BLOB            NOT NULL,
  at          BIGINT          NOT NULL,
  PRIMARY KEY (destination)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;

-- Deduplication keys that were seen. Touched only for messages that have one.
CREATE TABLE IF NOT EXISTS dovetail_dedup (
  destination VARBINARY(1024) NOT NULL,
  dedup       VARBINARY(1024) NOT NULL,
  message     VARBINARY(1024) NOT NULL,
  seen        BIGINT          NOT NULL,
  PRIMARY KEY (destination, dedup),
  KEY dovetail_dedup_seen (seen)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;

-- What operators did.
CREATE TABLE IF NOT EXISTS dovetail_operation (
  id          BIGINT          NOT NULL AUTO_INCREMENT,
  at          BIGINT          NOT NULL,
  who         BLOB            NOT NULL,
  why         BLOB            NOT NULL,
  action      VARBINARY(64)   NOT NULL, -- pause, resume, replay, discard
  destination VARBINARY(1024) NOT NULL,
  filter      LONGBLOB        NOT NULL, -- as JSON
  messages    BIGINT          NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;
