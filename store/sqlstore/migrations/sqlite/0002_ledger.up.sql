-- The ledger of writes: one row per key. Times are milliseconds since 1970.
CREATE TABLE dovetail_ledger (
  scope       TEXT    NOT NULL,
  id          TEXT    NOT NULL,
  op          TEXT    NOT NULL,
  kind        INTEGER NOT NULL, -- 1 record, 2 once, 3 operation
  state       INTEGER NOT NULL, -- 1 claimed, 2 sending, 3 done, 4 doubt
  fingerprint BLOB    NOT NULL,
  seq         INTEGER NOT NULL, -- the source's version, 0 for none
  request     BLOB,
  fence       INTEGER NOT NULL, -- counts the claims; the highest may write the result
  attempt     INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  first_sent  INTEGER NOT NULL,
  last_sent   INTEGER NOT NULL,
  unsure      INTEGER NOT NULL,
  ref         TEXT    NOT NULL,
  version     TEXT    NOT NULL,
  result      BLOB,
  cause       TEXT    NOT NULL,
  who         TEXT    NOT NULL,
  created     INTEGER NOT NULL,
  updated     INTEGER NOT NULL,
  PRIMARY KEY (scope, id, op)
) STRICT;

CREATE INDEX dovetail_ledger_open  ON dovetail_ledger (scope, id, op) WHERE state IN (2, 4);
CREATE INDEX dovetail_ledger_sweep ON dovetail_ledger (updated) WHERE kind = 3 AND state = 3;
