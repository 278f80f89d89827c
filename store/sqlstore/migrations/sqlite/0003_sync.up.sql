-- One row per record: the values held to be right and what each system showed.
CREATE TABLE dovetail_record (
  link        TEXT    NOT NULL,
  key         TEXT    NOT NULL,
  seq         INTEGER NOT NULL, -- a write needs the one it read
  present     INTEGER NOT NULL,
  outstanding INTEGER NOT NULL,
  parked      INTEGER NOT NULL,
  body        BLOB    NOT NULL,
  PRIMARY KEY (link, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX dovetail_record_outstanding ON dovetail_record (link, key) WHERE outstanding = 1;
CREATE INDEX dovetail_record_parked      ON dovetail_record (link, key) WHERE parked = 1;

-- What a system calls a record. The primary key is the promise that one remote
-- record belongs to at most one of ours. A create under way has its record's key
-- after a zero byte as ID.
CREATE TABLE dovetail_ref (
  link    TEXT    NOT NULL,
  system  TEXT    NOT NULL,
  id      TEXT    NOT NULL,
  key     TEXT    NOT NULL,
  state   INTEGER NOT NULL,
  version TEXT    NOT NULL,
  shown   INTEGER NOT NULL,
  PRIMARY KEY (link, system, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX dovetail_ref_key      ON dovetail_ref (link, key);
CREATE INDEX dovetail_ref_creating ON dovetail_ref (link, system, key) WHERE state = 3;

CREATE TABLE dovetail_match (
  link  TEXT NOT NULL,
  field TEXT NOT NULL,
  value TEXT NOT NULL,
  key   TEXT NOT NULL,
  PRIMARY KEY (link, field, value, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX dovetail_match_key ON dovetail_match (link, key);

CREATE TABLE dovetail_wait (
  parent TEXT NOT NULL, -- link/key
  system TEXT NOT NULL,
  link   TEXT NOT NULL,
  key    TEXT NOT NULL,
  PRIMARY KEY (parent, system, link, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX dovetail_wait_key ON dovetail_wait (link, key);

CREATE TABLE dovetail_history (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  link   TEXT    NOT NULL,
  key    TEXT    NOT NULL,
  field  TEXT    NOT NULL,
  system TEXT    NOT NULL,
  kind   TEXT    NOT NULL,
  rule   TEXT    NOT NULL,
  why    TEXT    NOT NULL,
  who    TEXT    NOT NULL,
  at     INTEGER NOT NULL,
  seen   INTEGER NOT NULL,
  old    TEXT    NOT NULL,
  new    TEXT    NOT NULL
) STRICT;

CREATE INDEX dovetail_history_key ON dovetail_history (link, key, id);

CREATE TABLE dovetail_meta (
  link  TEXT NOT NULL,
  name  TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (link, name)
) STRICT, WITHOUT ROWID;
