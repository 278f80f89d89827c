-- Which messages a consumer has had, for Once.
CREATE TABLE IF NOT EXISTS dovetail_inbox (
  consumer VARBINARY(1024) NOT NULL,
  message  VARBINARY(1024) NOT NULL,
  seen     BIGINT          NOT NULL, -- milliseconds since 1970
  PRIMARY KEY (consumer, message),
  KEY dovetail_inbox_seen (seen)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4;
