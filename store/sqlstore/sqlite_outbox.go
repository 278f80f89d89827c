package sqlstore

// The columns of a message, in the order of the tables.
const sqliteColumns = "id, created, destination, shard, lane, message, topic, key, headers, payload"

// sqliteBlocked says of a message or parked entry m whether an earlier one of its
// lane is waiting to be tried again, and whether one is dead or in doubt. The
// order of a key rests on it. "state <> 1" and "lane <> ”" let the partial index
// dovetail_parked_lane be used.
const sqliteBlocked = `
  EXISTS (SELECT 1 FROM dovetail_parked p WHERE m.lane <> '' AND p.lane <> '' AND p.state <> 1
    AND p.destination = m.destination AND p.lane = m.lane AND p.id < m.id AND p.state IN (2, 3, 6)),
  EXISTS (SELECT 1 FROM dovetail_parked p WHERE m.lane <> '' AND p.lane <> '' AND p.state <> 1
    AND p.destination = m.destination AND p.lane = m.lane AND p.id < m.id AND p.state IN (4, 5))`

// sqliteParkedEntry reads a parked entry as scanEntry does.
const sqliteParkedEntry = `
SELECT m.id, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.headers, m.payload,
  m.state, m.due, m.attempts, m.replays,` + sqliteBlocked + `
FROM dovetail_parked m`

// sqliteMend makes the first entry of a lane due that waits behind nothing any
// more.
const sqliteMend = `
UPDATE dovetail_parked SET state = 2, due = coalesce(?, ` + sqliteNow + `)
WHERE state = 3 AND id = (
  SELECT min(q.id) FROM dovetail_parked q
  WHERE q.destination = dovetail_parked.destination AND q.lane = dovetail_parked.lane
    AND q.lane <> '' AND q.state <> 1 AND q.state IN (2, 3, 6))`

// sqliteOutbox holds SQLite's statements of the queue.
var sqliteOutbox = outboxSQL{
	insert:   sqliteInsert,
	schedule: sqliteSchedule,
	read:     sqliteRead,
	done:     sqliteDone,

	dedupMany: sqliteDedupMany,
	// The primary key decides which of two messages with one key is stored.
	dedup: `
INSERT INTO dovetail_dedup (destination, dedup, message, seen) VALUES (?, ?, ?, coalesce(?, ` + sqliteNow + `))
ON CONFLICT (destination, dedup) DO NOTHING`,
	due: sqliteParkedEntry + `
WHERE m.destination = ? AND (? >> m.shard) & 1 = 1 AND m.state IN (1, 2, 6) AND m.due <= coalesce(?, ` + sqliteNow + `)
ORDER BY m.due, m.id LIMIT ?`,
	lane: sqliteParkedEntry + `
WHERE m.destination = ? AND m.lane = ? AND m.lane <> '' AND m.state <> 1 AND m.state = 3
  AND m.id < coalesce((SELECT min(q.id) FROM dovetail_parked q
    WHERE q.destination = ? AND q.lane = ? AND q.lane <> '' AND q.state <> 1 AND q.state IN (2, 6)), 9223372036854775807)
ORDER BY m.id LIMIT ?`,

	fence: `SELECT relay FROM dovetail_relay WHERE relay = ?`,
	owned: `SELECT destination, shard FROM dovetail_shard WHERE relay = ?`,
	park: parkBy(
		`
UPDATE dovetail_parked SET state = p.value ->> 'state', due = p.value ->> 'wait' + coalesce(?1, `+sqliteNow+`), parked = coalesce(?1, `+sqliteNow+`),
  attempts = p.value ->> 'attempts', class = p.value ->> 'class', code = p.value ->> 'code', field = p.value ->> 'field', error = p.value ->> 'error'
FROM json_each(?2) p WHERE dovetail_parked.id = p.value ->> 'id'`,
		`
INSERT INTO dovetail_parked (`+sqliteColumns+`, state, due, parked, attempts, replays, class, code, field, error)
SELECT m.id, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.headers, m.payload,
  p.value ->> 'state', p.value ->> 'wait' + coalesce(?1, `+sqliteNow+`), coalesce(?1, `+sqliteNow+`), p.value ->> 'attempts', 0,
  p.value ->> 'class', p.value ->> 'code', p.value ->> 'field', p.value ->> 'error'
FROM json_each(?2) p CROSS JOIN dovetail_message m ON m.id = p.value ->> 'id'`,
		`DELETE FROM dovetail_message WHERE ?1 IS ?1 AND id IN (SELECT value ->> 'id' FROM json_each(?2))`,
	),
	free: `
UPDATE dovetail_parked SET state = 2, due = coalesce(?, ` + sqliteNow + `)
WHERE state = 3 AND id IN (
  SELECT (SELECT min(q.id) FROM dovetail_parked q WHERE q.destination = l.destination AND q.lane = l.lane AND q.lane <> '' AND q.state <> 1)
  FROM (SELECT DISTINCT p.destination, p.lane FROM dovetail_parked p WHERE p.lane <> '' AND p.id IN (SELECT value FROM json_each(?))) l)`,
	parkedShards: `SELECT destination, shard FROM dovetail_parked WHERE id IN (SELECT value FROM json_each(?))`,
	unpark:       `DELETE FROM dovetail_parked WHERE id IN (SELECT value FROM json_each(?))`,
	drop: `
DELETE FROM dovetail_parked
WHERE destination = ? AND lane = ? AND lane <> '' AND id < ? AND state <> 1
  AND CASE WHEN ? THEN state = 4 ELSE state IN (2, 3, 6) END`,

	expired:   `SELECT relay FROM dovetail_relay WHERE until <= coalesce(?, ` + sqliteNow + `) AND relay <> ?`,
	freeRelay: `UPDATE dovetail_shard SET relay = '' WHERE relay = ?`,
	endRelay:  `DELETE FROM dovetail_relay WHERE relay = ?`,
	setRelay: `
INSERT INTO dovetail_relay (relay, until, destinations) VALUES (?, coalesce(?, ` + sqliteNow + `) + ?, ?)
ON CONFLICT (relay) DO UPDATE SET until = excluded.until, destinations = excluded.destinations`,
	renewRelay: `UPDATE dovetail_relay SET until = coalesce(?, ` + sqliteNow + `) + ?, destinations = ? WHERE relay = ?`,
	relays:     `SELECT destinations FROM dovetail_relay`,
	shards:     `SELECT destination, shard, relay FROM dovetail_shard`,
	addShards: `
INSERT INTO dovetail_shard (destination, shard, relay, epoch)
WITH RECURSIVE n (shard) AS (SELECT 0 UNION ALL SELECT shard + 1 FROM n WHERE shard + 1 < ?2)
SELECT ?1, shard, '', 0 FROM n WHERE true
ON CONFLICT DO NOTHING`,
	release: `UPDATE dovetail_shard SET relay = '' WHERE destination = ? AND relay = ? AND (? >> shard) & 1 = 1`,
	// The epoch counts the owners, for whoever reads the table.
	claim:      `UPDATE dovetail_shard SET relay = ?, epoch = epoch + 1 WHERE destination = ? AND (? >> shard) & 1 = 1 AND relay = ''`,
	mendShards: sqliteMend + ` AND destination = ? AND (? >> shard) & 1 = 1`,
	forget: `
DELETE FROM dovetail_dedup WHERE (destination, dedup) IN (
  SELECT destination, dedup FROM dovetail_dedup WHERE seen < coalesce(?, ` + sqliteNow + `) - ? ORDER BY seen LIMIT ?)`,
	see: `
INSERT INTO dovetail_inbox (consumer, message, seen) VALUES (?, ?, coalesce(?, ` + sqliteNow + `))
ON CONFLICT (consumer, message) DO NOTHING`,
	forgetSeen: `
DELETE FROM dovetail_inbox WHERE (consumer, message) IN (
  SELECT consumer, message FROM dovetail_inbox WHERE seen < coalesce(?, ` + sqliteNow + `) - ? ORDER BY seen LIMIT ?)`,
	pauses: `SELECT destination, who, why, at FROM dovetail_pause`,

	now: `SELECT coalesce(?, ` + sqliteNow + `)`,
	// The limit bounds what is looked at: no count over a table of any size.
	statusWaiting: `
SELECT destination, count(*), min(created)
FROM (SELECT destination, created FROM dovetail_message ORDER BY id LIMIT ?) GROUP BY destination`,
	// A scheduled entry waits from when it is due, and so does one that its handler
	// deferred for ten minutes or more; the others from when they were enqueued.
	statusParked: `
SELECT destination, sum(state IN (1, 2, 3, 6)), sum(state = 4), sum(state = 5),
  min(CASE WHEN state IN (4, 5) THEN NULL WHEN state = 1 OR (state = 6 AND due - parked >= 600000) THEN due ELSE created END)
FROM (SELECT destination, state, due, parked, created FROM dovetail_parked ORDER BY id LIMIT ?) GROUP BY destination`,
	letters: `
SELECT id, created, destination, lane, message, topic, key, headers, payload, parked, attempts, replays, class, code, field, error
FROM dovetail_parked
WHERE (?1 = '' OR destination = ?1) AND (?2 = '' OR class = ?2) AND (?3 = '' OR code = ?3) AND (?4 = '' OR key = ?4)
  AND (?5 = '' OR topic = ?5) AND (?6 = '[]' OR message IN (SELECT value FROM json_each(?6)))
  AND parked >= ?7 AND parked < ?8 AND state = ?9 AND id > ?10
ORDER BY id LIMIT ?11`,
	// What has a lane waits its turn in it; the lane is mended afterwards.
	replay: `
UPDATE dovetail_parked SET state = CASE lane WHEN '' THEN 2 ELSE 3 END, due = coalesce(?, ` + sqliteNow + `), attempts = 0, replays = replays + 1
WHERE state IN (4, 5) AND id IN (SELECT value FROM json_each(?))`,
	discard:  `DELETE FROM dovetail_parked WHERE state IN (4, 5) AND id IN (SELECT value FROM json_each(?))`,
	mendLane: sqliteMend + ` AND destination = ? AND lane = ?`,
	left: `
SELECT EXISTS (SELECT 1 FROM dovetail_parked WHERE destination = ? AND state = ? AND class = ? AND code = ? AND field = ?)`,
	pause: `
INSERT INTO dovetail_pause (destination, who, why, at) VALUES (?, ?, ?, coalesce(?, ` + sqliteNow + `))
ON CONFLICT (destination) DO UPDATE SET who = excluded.who, why = excluded.why, at = excluded.at`,
	resume: `DELETE FROM dovetail_pause WHERE destination = ?`,
	record: `
INSERT INTO dovetail_operation (at, who, why, action, destination, filter, messages)
VALUES (coalesce(?, ` + sqliteNow + `), ?, ?, ?, ?, ?, ?)`,
	operations: `
SELECT id, at, who, why, action, destination, filter, messages FROM dovetail_operation
WHERE (?1 = '' OR destination = ?1) AND (?2 = '' OR who = ?2) AND (?3 = '' OR action = ?3) AND at >= ?4 AND at < ?5 AND id < ?6
ORDER BY id DESC LIMIT ?7`,
}
