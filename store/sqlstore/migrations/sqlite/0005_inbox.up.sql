-- Which messages a consumer has had, for Once.
CREATE TABLE dovetail_inbox (
  consumer TEXT    NOT NULL,
  message  TEXT    NOT NULL,
  seen     INTEGER NOT NULL, -- milliseconds since 1970
  PRIMARY KEY (consumer, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX dovetail_inbox_seen ON dovetail_inbox (seen);
