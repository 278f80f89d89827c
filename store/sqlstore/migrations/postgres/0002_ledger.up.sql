-- The ledger of writes: one row per key. Times are milliseconds since 1970.
CREATE TABLE dovetail_ledger (
  scope       text     COLLATE "C" NOT NULL,
  id          text     COLLATE "C" NOT NULL,
  op          text     COLLATE "C" NOT NULL,
  kind        smallint NOT NULL, -- 1 record, 2 once, 3 operation
  state       smallint NOT NULL, -- 1 claimed, 2 sending, 3 done, 4 doubt
  fingerprint bytea    NOT NULL,
  seq         bigint   NOT NULL, -- the source's version, 0 for none
  request     bytea,
  fence       bigint   NOT NULL, -- counts the claims; the highest may write the result
  attempt     bigint   NOT NULL,
  lease_until bigint   NOT NULL,
  first_sent  bigint   NOT NULL,
  last_sent   bigint   NOT NULL,
  unsure      smallint NOT NULL,
  ref         text     NOT NULL,
  version     text     NOT NULL,
  result      bytea,
  cause       text     NOT NULL,
  who         text     NOT NULL,
  created     bigint   NOT NULL,
  updated     bigint   NOT NULL,
  PRIMARY KEY (scope, id, op)
) WITH (fillfactor = 80);

CREATE INDEX dovetail_ledger_open  ON dovetail_ledger (scope, id, op) WHERE state IN (2, 4);
CREATE INDEX dovetail_ledger_sweep ON dovetail_ledger (updated) WHERE kind = 3 AND state = 3;
