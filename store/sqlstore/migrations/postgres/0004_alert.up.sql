-- Problems that a person is told of.
CREATE TABLE dovetail_problem (
  fingerprint text   COLLATE "C" PRIMARY KEY,
  seq         bigint NOT NULL, -- grows with every change
  body        bytea  NOT NULL
);

-- Who sends. At most one row.
CREATE TABLE dovetail_alert_lease (
  one    smallint PRIMARY KEY CHECK (one = 1),
  holder text     NOT NULL,
  until  bigint   NOT NULL
);
