-- Which messages a consumer has had, for Once.
CREATE TABLE dovetail_inbox (
  consumer text   COLLATE "C" NOT NULL,
  message  text   COLLATE "C" NOT NULL,
  seen     bigint NOT NULL, -- milliseconds since 1970
  PRIMARY KEY (consumer, message)
);
CREATE INDEX dovetail_inbox_seen ON dovetail_inbox (seen);
