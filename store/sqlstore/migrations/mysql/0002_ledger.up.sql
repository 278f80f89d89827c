-- The ledger of writes: one row per key. Times are milliseconds since 1970.
CREATE TABLE IF NOT EXISTS dovetail_ledger (
  scope       VARBINARY(1024) NOT NULL,
  id          VARBINARY(1024) NOT NULL,
  op          VARBINARY(1024) NOT NULL,
  kind        SMALLINT        NOT NULL, -- 1 record, 2 once, 3 operation
  state       SMALLINT        NOT NULL, -- 1 claimed, 2 sending, 3 done, 4 doubt
  fingerprint VARBINARY(32)   NOT NULL,
  seq         BIGINT          NOT NULL, -- the version in the source, 0 for none
  request     LONGBLOB,
  fence       BIGINT          NOT NULL, -- counts the claims; the highest may write the result
  attempt     BIGINT          NOT NULL,
  lease_until BIGINT          NOT NULL,
  first_sent  BIGINT          NOT NULL,
  last_sent   BIGINT          NOT NULL,
  unsure      SMALLINT        NOT NULL,
  ref         LONGBLOB        NOT NULL,
  version     LONGBLOB        NOT NULL,
  result      LONGBLOB,
  cause       LONGBLOB        NOT NULL,
  who         LONGBLOB        NOT NULL,
  created     BIGINT          NOT NULL,
  updated     BIGINT          NOT NULL,
  writes      BIGINT          NOT NULL DEFAULT 0, -- so that each write is a change
  doubtful    SMALLINT        GENERATED ALWAYS AS (CASE WHEN state IN (2, 4) THEN 1 END) VIRTUAL,
  swept       BIGINT          GENERATED ALWAYS AS (CASE WHEN kind = 3 AND state = 3 THEN updated END) VIRTUAL,
  PRIMARY KEY (scope, id, op),
  KEY dovetail_ledger_open (doubtful),
  KEY dovetail_ledger_sweep (swept)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;
