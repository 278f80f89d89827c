-- One row per problem that is open or was lately. The body says what it is, since
-- when, and which sink was told.
CREATE TABLE IF NOT EXISTS dovetail_problem (
  fingerprint VARBINARY(1024) NOT NULL,
  seq         BIGINT          NOT NULL, -- a write needs the one it read
  body        LONGBLOB        NOT NULL,
  PRIMARY KEY (fingerprint)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;

-- Which process sends notifications. At most one row.
CREATE TABLE IF NOT EXISTS dovetail_alert_lease (
  one    SMALLINT        NOT NULL,
  holder VARBINARY(1024) NOT NULL,
  until  BIGINT          NOT NULL, -- milliseconds since 1970
  seq    BIGINT          NOT NULL, -- counts the renewals, so that each is a change
  PRIMARY KEY (one)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
