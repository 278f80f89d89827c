package sqlstore

// The columns of a message, in the order of the tables.
const mysqlColumns = "id, created, destination, shard, lane, message, topic, `key`, headers, size, payload, large"

// mysqlEntry is what scanEntry reads first of a message m.
const mysqlEntry = `m.id, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.headers, coalesce(m.payload, m.large)`

// Whether an earlier one of the lane of m waits to be tried again, and whether one
// is dead or in doubt. The order of a key rests on it. FORCE INDEX: the rows of one
// lane are read, whatever the statistics say.
const (
	mysqlBefore = `EXISTS (SELECT 1 FROM dovetail_parked p FORCE INDEX (dovetail_parked_lane)
    WHERE p.destination = m.destination AND p.lane = m.lane AND p.id < m.id AND p.state IN `
	mysqlWaits = mysqlBefore + `(2, 3, 6))`
	mysqlStops = mysqlBefore + `(4, 5))`
)

// mysqlParkedEntry reads a parked entry as scanEntry does.
const mysqlParkedEntry = `
SELECT ` + mysqlEntry + `, m.state, m.due, m.attempts, m.replays,
  m.lane <> '' AND ` + mysqlWaits + `,
  m.lane <> '' AND ` + mysqlStops + `
FROM dovetail_parked m`

// mysqlParkings is the list of parkings as rows. Texts of JSON are utf8mb4.
const mysqlParkings = `JSON_TABLE(?, '$[*]' COLUMNS (
  id BIGINT PATH '$.id', state BIGINT PATH '$.state', wait BIGINT PATH '$.wait', attempts BIGINT PATH '$.attempts',
  class VARCHAR(64) CHARACTER SET utf8mb4 PATH '$.class', code TEXT CHARACTER SET utf8mb4 PATH '$.code',
  field TEXT CHARACTER SET utf8mb4 PATH '$.field', error TEXT CHARACTER SET utf8mb4 PATH '$.error'))`

// mysqlIDs is a list of ids as rows.
const mysqlIDs = `JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$'))`

// mysqlClock is the time as a table of one row: an argument can be named once only.
const mysqlClock = `(SELECT coalesce(cast(? AS SIGNED), ` + mysqlNow + `) AS now)`

// mysqlMend makes the first entry of each of some lanes due that waits behind
// nothing any more. SKIP LOCKED: a range is read with what lies at its end, which may
// be a producer's that commits in an hour. Who holds a row of the lane itself
// delivers, replays or discards it, and sees to the lane.
const (
	mysqlMend = `
UPDATE ` + mysqlClock + ` a STRAIGHT_JOIN (
  SELECT min(q.id) AS id FROM dovetail_parked q FORCE INDEX (dovetail_parked_lane)
  WHERE q.lane > '' AND q.state IN (2, 3, 6) AND q.destination = ? AND `
	mysqlMended = ` GROUP BY q.destination, q.lane FOR UPDATE SKIP LOCKED
) h STRAIGHT_JOIN dovetail_parked p FORCE INDEX (PRIMARY) ON p.id = h.id
SET p.state = 2, p.due = a.now WHERE p.state = 3`
)

// mysqlText is an argument as a table of one row. What is joined to it is looked up
// by its primary key. A plain DELETE of few rows scans a small table instead, and
// waits for every row that somebody else has not committed.
const mysqlText = `(SELECT cast(? AS BINARY) AS given)`

// mysqlOutbox holds the statements of the queue. Masks are cast: what an argument
// that is compared with nothing else is taken for differs between servers. FORCE
// INDEX is everywhere, since statistics of tables that fill and empty are wrong
// most of the time, and a scan would wait for every row that others hold.
var mysqlOutbox = outboxSQL{
	insert:   mysqlInsert,
	schedule: mysqlSchedule,
	read:     mysqlRead,
	done:     mysqlDone,
	// The primary key decides which of two messages with one key is stored. IGNORE
	// and not ON DUPLICATE KEY: of that, drivers may count the row as touched. It
	// would also cut what is too long, but the columns hold all that Enqueue lets
	// through.
	dedup: `
INSERT IGNORE INTO dovetail_dedup (destination, dedup, message, seen) VALUES (?, ?, ?, coalesce(?, ` + mysqlNow + `))`,
	due: mysqlParkedEntry + ` FORCE INDEX (dovetail_parked_due)
WHERE m.destination = ? AND (cast(? AS SIGNED) >> m.shard) & 1 = 1 AND m.ripe <= coalesce(?, ` + mysqlNow + `)
ORDER BY m.ripe, m.id LIMIT ?`,
	lane: mysqlParkedEntry + ` FORCE INDEX (dovetail_parked_lane)
WHERE m.destination = ? AND m.lane = ? AND m.lane <> '' AND m.state = 3
  AND m.id < coalesce((SELECT min(q.id) FROM dovetail_parked q FORCE INDEX (dovetail_parked_lane)
    WHERE q.destination = ? AND q.lane = ? AND q.lane <> '' AND q.state IN (2, 6)), 9223372036854775807)
ORDER BY m.id LIMIT ?`,

	// The lock holds the row until the transaction ends, and endRelay waits for it.
	fence: `SELECT relay FROM dovetail_relay WHERE relay = ? LOCK IN SHARE MODE`,
	owned: `SELECT destination, shard FROM dovetail_shard WHERE relay = ?`,
	park: parkBy(
		`
UPDATE `+mysqlClock+` a STRAIGHT_JOIN `+mysqlParkings+` j STRAIGHT_JOIN dovetail_parked p FORCE INDEX (PRIMARY) ON p.id = j.id
SET p.state = j.state, p.due = a.now + j.wait, p.parked = a.now, p.attempts = j.attempts,
  p.class = j.class, p.code = j.code, p.field = j.field, p.error = j.error`,
		// FOR UPDATE: who has delivered the message and deletes it waits, and then finds
		// it among the parked ones. That what is gone stays gone rests on it.
		`
INSERT INTO dovetail_parked (`+mysqlColumns+`, state, due, parked, attempts, replays, class, code, field, error)
SELECT m.id, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.headers, m.size, m.payload, m.large,
  j.state, a.now + j.wait, a.now, j.attempts, 0, j.class, j.code, j.field, j.error
FROM `+mysqlClock+` a STRAIGHT_JOIN `+mysqlParkings+` j STRAIGHT_JOIN dovetail_message m FORCE INDEX (PRIMARY) ON m.id = j.id
FOR UPDATE`,
		`
DELETE m FROM `+mysqlClock+` a STRAIGHT_JOIN `+mysqlParkings+` j STRAIGHT_JOIN dovetail_message m ON m.id = j.id`,
	),
	free: `
UPDATE ` + mysqlClock + ` a STRAIGHT_JOIN (
  SELECT (SELECT min(q.id) FROM dovetail_parked q FORCE INDEX (dovetail_parked_lane)
    WHERE q.destination = l.destination AND q.lane = l.lane AND q.lane <> '' AND q.state <> 1) AS id
  FROM (SELECT DISTINCT p.destination, p.lane FROM ` + mysqlIDs + ` j STRAIGHT_JOIN dovetail_parked p FORCE INDEX (PRIMARY) ON p.id = j.id
    WHERE p.lane <> '') l
) h STRAIGHT_JOIN dovetail_parked p FORCE INDEX (PRIMARY) ON p.id = h.id
SET p.state = 2, p.due = a.now WHERE p.state = 3`,
	operateLock:  `SELECT relay FROM dovetail_relay FOR UPDATE`,
	parkedShards: `SELECT p.destination, p.shard FROM ` + mysqlIDs + ` j STRAIGHT_JOIN dovetail_parked p FORCE INDEX (PRIMARY) ON p.id = j.id`,
	unpark:       `DELETE p FROM ` + mysqlIDs + ` j STRAIGHT_JOIN dovetail_parked p ON p.id = j.id`,
	drop: `
DELETE p FROM (
  SELECT q.id FROM dovetail_parked q FORCE INDEX (dovetail_parked_lane)
  WHERE q.destination = ? AND q.lane = ? AND q.lane <> '' AND q.id < ?
    AND CASE WHEN cast(? AS SIGNED) = 1 THEN q.state = 4 ELSE q.state IN (2, 3, 6) END
  LIMIT 1000000 FOR UPDATE SKIP LOCKED
) h STRAIGHT_JOIN dovetail_parked p ON p.id = h.id`,

	// One relay at a time shares out shards: the lock is on a row that always exists.
	leaseLock: `SELECT number FROM dovetail_migration WHERE number = 1 FOR UPDATE`,
	expired:   `SELECT relay FROM dovetail_relay WHERE until <= coalesce(?, ` + mysqlNow + `) AND relay <> ?`,
	freeRelay: `UPDATE dovetail_shard SET relay = '' WHERE relay = ?`,
	endRelay:  `DELETE r FROM ` + mysqlText + ` a STRAIGHT_JOIN dovetail_relay r ON r.relay = a.given`,
	setRelay: `
INSERT INTO dovetail_relay (relay, until, renewals, destinations) VALUES (?, coalesce(?, ` + mysqlNow + `) + ?, 0, ?)
ON DUPLICATE KEY UPDATE until = VALUES(until), destinations = VALUES(destinations)`,
	// A row that is set to what it is counts as untouched; renewals prevents that.
	renewRelay: `
UPDATE dovetail_relay FORCE INDEX (PRIMARY) SET renewals = renewals + 1, until = coalesce(?, ` + mysqlNow + `) + ?, destinations = ? WHERE relay = ?`,
	relays: `SELECT destinations FROM dovetail_relay`,
	shards: `SELECT destination, shard, relay FROM dovetail_shard`,
	addShards: `
INSERT INTO dovetail_shard (destination, shard, relay, epoch)
WITH RECURSIVE n (shard) AS (SELECT 0 UNION ALL SELECT shard + 1 FROM n WHERE shard < 255)
SELECT a.destination, n.shard, '', 0 FROM (SELECT cast(? AS BINARY) AS destination, cast(? AS SIGNED) AS shards) a
JOIN n ON n.shard < a.shards
ON DUPLICATE KEY UPDATE epoch = dovetail_shard.epoch`,
	release: `UPDATE dovetail_shard SET relay = '' WHERE destination = ? AND relay = ? AND (cast(? AS SIGNED) >> shard) & 1 = 1`,
	// The epoch counts the owners, for whoever reads the table.
	claim: `
UPDATE dovetail_shard SET relay = ?, epoch = epoch + 1
WHERE destination = ? AND (cast(? AS SIGNED) >> shard) & 1 = 1 AND relay = ''`,
	mendShards: mysqlMend + `(cast(? AS SIGNED) >> q.shard) & 1 = 1` + mysqlMended,
	// Not those that a producer holds: it would hold up all relays.
	forget: `
DELETE d FROM (
  SELECT destination, dedup FROM dovetail_dedup FORCE INDEX (dovetail_dedup_seen)
  WHERE seen < coalesce(?, ` + mysqlNow + `) - ? ORDER BY seen LIMIT ? FOR UPDATE SKIP LOCKED
) o STRAIGHT_JOIN dovetail_dedup d ON d.destination = o.destination AND d.dedup = o.dedup`,
	see: `
INSERT IGNORE INTO dovetail_inbox (consumer, message, seen) VALUES (?, ?, coalesce(?, ` + mysqlNow + `))`,
	forgetSeen: `
DELETE d FROM (
  SELECT consumer, message FROM dovetail_inbox FORCE INDEX (dovetail_inbox_seen)
  WHERE seen < coalesce(?, ` + mysqlNow + `) - ? ORDER BY seen LIMIT ? FOR UPDATE SKIP LOCKED
) o STRAIGHT_JOIN dovetail_inbox d ON d.consumer = o.consumer AND d.message = o.message`,
	pauses: `SELECT destination, who, why, at FROM dovetail_pause`,

	now: `SELECT coalesce(?, ` + mysqlNow + `)`,
	// The limit bounds what is looked at: no count over a table of any size.
	statusWaiting: `
SELECT destination, count(*), min(created)
FROM (SELECT destination, created FROM dovetail_message FORCE INDEX (PRIMARY) ORDER BY id LIMIT ?) m GROUP BY destination`,
	// A scheduled entry waits from when it is due, and so does one that its handler
	// deferred for ten minutes or more; the others from when they were enqueued.
	statusParked: `
SELECT destination, sum(state IN (1, 2, 3, 6)), sum(state = 4), sum(state = 5),
  min(CASE WHEN state IN (4, 5) THEN NULL WHEN state = 1 OR (state = 6 AND due - parked >= 600000) THEN due ELSE created END)
FROM (SELECT destination, state, due, parked, created FROM dovetail_parked FORCE INDEX (PRIMARY) ORDER BY id LIMIT ?) p
GROUP BY destination`,
	letters: `
SELECT p.id, p.created, p.destination, p.lane, p.message, p.topic, p.key, p.headers, coalesce(p.payload, p.large),
  p.parked, p.attempts, p.replays, p.class, p.code, p.field, p.error
FROM (SELECT cast(? AS BINARY) AS destination, cast(? AS BINARY) AS class, cast(? AS BINARY) AS code, cast(? AS BINARY) AS lane,
  cast(? AS BINARY) AS topic, cast(? AS CHAR CHARACTER SET utf8mb4) AS ids) a
STRAIGHT_JOIN dovetail_parked p FORCE INDEX (dovetail_parked_dead)
WHERE (a.destination = '' OR p.destination = a.destination) AND (a.class = '' OR p.class = a.class)
  AND (a.code = '' OR p.code = a.code) AND (a.lane = '' OR p.key = a.lane) AND (a.topic = '' OR p.topic = a.topic)
  AND (a.ids = '[]' OR EXISTS (
    SELECT 1 FROM JSON_TABLE(a.ids, '$[*]' COLUMNS (id VARCHAR(1024) CHARACTER SET utf8mb4 PATH '$')) j
    WHERE cast(j.id AS BINARY) = p.message))
  AND p.parked >= ? AND p.parked < ? AND p.state = ? AND p.id > ?
ORDER BY p.id LIMIT ?`,
	// What has a lane waits its turn in it; the lane is mended afterwards.
	replay: `
UPDATE ` + mysqlClock + ` a STRAIGHT_JOIN ` + mysqlIDs + ` j STRAIGHT_JOIN dovetail_parked p FORCE INDEX (PRIMARY) ON p.id = j.id
SET p.state = CASE p.lane WHEN '' THEN 2 ELSE 3 END, p.due = a.now, p.attempts = 0, p.replays = p.replays + 1
WHERE p.state IN (4, 5)`,
	discard: `
DELETE p FROM ` + mysqlIDs + ` j STRAIGHT_JOIN dovetail_parked p ON p.id = j.id WHERE p.state IN (4, 5)`,
	mendLane: mysqlMend + `q.lane = ?` + mysqlMended,
	left: `
SELECT EXISTS (SELECT 1 FROM dovetail_parked WHERE destination = ? AND state = ? AND class = ? AND code = ? AND field = ?)`,
	pause: `
INSERT INTO dovetail_pause (destination, who, why, at) VALUES (?, ?, ?, coalesce(?, ` + mysqlNow + `))
ON DUPLICATE KEY UPDATE who = VALUES(who), why = VALUES(why), at = VALUES(at)`,
	resume: `DELETE FROM dovetail_pause WHERE destination = ?`,
	record: `
INSERT INTO dovetail_operation (at, who, why, action, destination, filter, messages)
VALUES (coalesce(?, ` + mysqlNow + `), ?, ?, ?, ?, ?, ?)`,
	operations: `
SELECT o.id, o.at, o.who, o.why, o.action, o.destination, o.filter, o.messages
FROM (SELECT ? AS destination, ? AS who, ? AS action, ? AS since, ? AS before_, ? AS below) a
JOIN dovetail_operation o ON (a.destination = '' OR o.destination = a.destination) AND (a.who = '' OR o.who = a.who)
  AND (a.action = '' OR o.action = a.action) AND o.at >= a.since AND o.at < a.before_ AND o.id < a.below
ORDER BY o.id DESC LIMIT ?`,
}
