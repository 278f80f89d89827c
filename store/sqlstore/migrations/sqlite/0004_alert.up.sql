-- One row per problem that is open or was lately. The body says what it is, since
-- when, and which sink was told.
CREATE TABLE dovetail_problem (
  fingerprint TEXT    NOT NULL PRIMARY KEY,
  seq         INTEGER NOT NULL, -- a write needs the one it read
  body        BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Which process sends notifications. At most one row.
CREATE TABLE dovetail_alert_lease (
  one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  holder TEXT    NOT NULL,
  until  INTEGER NOT NULL -- milliseconds since 1970
) STRICT;
