package sqlstore

// postgresBlocked says of a parked entry m whether an earlier one of its lane is
// waiting to be tried again, and whether one is dead or in doubt. The order of a
// key rests on it; dovetail_read says the same of waiting ones.
const postgresBlocked = `
  CASE WHEN m.lane <> '' AND EXISTS (SELECT 1 FROM dovetail_parked p WHERE p.lane <> '' AND p.state <> 1
    AND p.destination = m.destination AND p.lane = m.lane AND p.id < m.id AND p.state IN (2, 3, 6)) THEN 1 ELSE 0 END,
  CASE WHEN m.lane <> '' AND EXISTS (SELECT 1 FROM dovetail_parked p WHERE p.lane <> '' AND p.state <> 1
    AND p.destination = m.destination AND p.lane = m.lane AND p.id < m.id AND p.state IN (4, 5)) THEN 1 ELSE 0 END`

// postgresParkedEntry reads a parked entry as scanEntry does.
const postgresParkedEntry = `
SELECT m.id, m.created, m.destination, m.shard, m.lane, m.message, m.topic, m.key, m.headers, m.payload,
  m.state, m.due, m.attempts, m.replays,` + postgresBlocked + `
FROM dovetail_parked m`

// postgresAwake has the server end a transaction that does nothing for as long. A
// process that is frozen, or whose machine is gone, holds in it what all others
// need to take over its shards, and would hold it until its connection dies.
const postgresAwake = `set_config('idle_in_transaction_session_timeout', '5s', true)`

// postgresMend makes the first entry of a lane due that waits behind nothing any
// more.
const postgresMend = `
UPDATE dovetail_parked m SET state = 2, due = coalesce($1::bigint, ` + postgresNow + `)
WHERE m.state = 3 AND m.id = (
  SELECT min(q.id) FROM dovetail_parked q
  WHERE q.destination = m.destination AND q.lane = m.lane AND q.lane <> '' AND q.state <> 1 AND q.state IN (2, 3, 6))`

// postgresOutbox holds Postgres's statements of the queue. Those of the hot table
// are functions; see migrations/postgres/0001_outbox.up.sql.
var postgresOutbox = outboxSQL{
	insert:   postgresInsert,
	schedule: postgresSchedule,
	read:     postgresRead,
	done:     postgresDone,

	dedupMany: postgresDedupMany,

	// The primary key decides which of two messages with one key is stored: the
	// second insert waits for the first transaction to end.
	dedup: `
INSERT INTO dovetail_dedup (destination, dedup, message, seen) VALUES ($1, $2, $3, coalesce($4::bigint, ` + postgresNow + `))
ON CONFLICT (destination, dedup) DO NOTHING`,
	due: postgresParkedEntry + `
WHERE m.destination = $1 AND ($2::bigint >> m.shard) & 1 = 1 AND m.state IN (1, 2, 6) AND m.due <= coalesce($3::bigint, ` + postgresNow + `)
ORDER BY m.due, m.id LIMIT $4`,
	lane: postgresParkedEntry + `
WHERE m.destination = $1 AND m.lane = $2 AND m.lane <> '' AND m.state <> 1 AND m.state = 3
  AND m.id < coalesce((SELECT min(q.id) FROM dovetail_parked q
    WHERE q.destination = $3 AND q.lane = $4 AND q.lane <> '' AND q.state <> 1 AND q.state IN (2, 6)), 9223372036854775807)
ORDER BY m.id LIMIT $5`,

	// Whoever takes over the relay's shards deletes this row first, and waits.
	fence: `SELECT relay FROM dovetail_relay WHERE relay = $1 AND ` + postgresAwake + ` IS NOT NULL FOR SHARE`,
	owned: `SELECT destination, shard FROM dovetail_shard WHERE relay = $1`,
	park:  postgresPark,
	free: `
UPDATE dovetail_parked m SET state = 2, due = coalesce($1::bigint, ` + postgresNow + `)
WHERE m.state = 3 AND m.id IN (
  SELECT (SELECT min(q.id) FROM dovetail_parked q WHERE q.destination = l.destination AND q.lane = l.lane AND q.lane <> '' AND q.state <> 1)
  FROM (SELECT DISTINCT p.destination, p.lane FROM dovetail_parked p WHERE p.lane <> '' AND p.id IN (SELECT jsonb_array_elements_text($2::text::jsonb)::bigint)) l)`,
	operateLock: `SELECT relay FROM dovetail_relay FOR UPDATE`,
	// The settings of a function would be better; the planner has an index on id and
	// few ids at hand, for which it is right in any case.
	parkedShards: `SELECT p.destination, p.shard FROM jsonb_array_elements_text($1::text::jsonb) j JOIN dovetail_parked p ON p.id = j::bigint`,
	unpark:       `DELETE FROM dovetail_parked WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text($1::text::jsonb)::bigint))`,
	drop: `
DELETE FROM dovetail_parked
WHERE destination = $1 AND lane = $2 AND lane <> '' AND id < $3 AND state <> 1
  AND CASE WHEN $4::boolean THEN state = 4 ELSE state IN (2, 3, 6) END`,

	// One relay at a time looks at who owns what and takes its share.
	leaseLock: `SELECT ` + postgresAwake + `, pg_advisory_xact_lock(hashtext('dovetail_shard ' || current_schema()))`,
	expired:   `SELECT relay FROM dovetail_relay WHERE until <= coalesce($1::bigint, ` + postgresNow + `) AND relay <> $2`,
	freeRelay: `UPDATE dovetail_shard SET relay = '' WHERE relay = $1`,
	endRelay:  `DELETE FROM dovetail_relay WHERE relay = $1`,
	setRelay: `
INSERT INTO dovetail_relay (relay, until, destinations) VALUES ($1, coalesce($2::bigint, ` + postgresNow + `) + $3::bigint, $4)
ON CONFLICT (relay) DO UPDATE SET until = excluded.until, destinations = excluded.destinations`,
	renewRelay: `UPDATE dovetail_relay SET until = coalesce($1::bigint, ` + postgresNow + `) + $2::bigint, destinations = $3 WHERE relay = $4`,
	relays:     `SELECT destinations FROM dovetail_relay`,
	shards:     `SELECT destination, shard, relay FROM dovetail_shard`,
	addShards: `
INSERT INTO dovetail_shard (destination, shard, relay, epoch)
SELECT $1::text, n, '', 0 FROM generate_series(0, $2::integer - 1) n
ON CONFLICT DO NOTHING`,
	release: `UPDATE dovetail_shard SET relay = '' WHERE destination = $1 AND relay = $2 AND ($3::bigint >> shard) & 1 = 1`,
	// The epoch counts the owners, for whoever reads the table.
	claim:      `UPDATE dovetail_shard SET relay = $1, epoch = epoch + 1 WHERE destination = $2 AND ($3::bigint >> shard) & 1 = 1 AND relay = ''`,
	mendShards: postgresMend + ` AND m.destination = $2 AND ($3::bigint >> m.shard) & 1 = 1`,
	forget: `
DELETE FROM dovetail_dedup WHERE (destination, dedup) IN (
  SELECT destination, dedup FROM dovetail_dedup WHERE seen < coalesce($1::bigint, ` + postgresNow + `) - $2::bigint ORDER BY seen LIMIT $3)`,
	// A second insert waits for the first transaction to end.
	see: `
INSERT INTO dovetail_inbox (consumer, message, seen) VALUES ($1, $2, coalesce($3::bigint, ` + postgresNow + `))
ON CONFLICT (consumer, message) DO NOTHING`,
	forgetSeen: `
DELETE FROM dovetail_inbox WHERE (consumer, message) IN (
  SELECT consumer, message FROM dovetail_inbox WHERE seen < coalesce($1::bigint, ` + postgresNow + `) - $2::bigint ORDER BY seen LIMIT $3)`,
	pauses: `SELECT destination, who, why, at FROM dovetail_pause`,

	now: `SELECT coalesce($1::bigint, ` + postgresNow + `)`,
	// The limit bounds what is looked at: no count over a table of any size.
	statusWaiting: `
SELECT destination, count(*), min(created)
FROM (SELECT destination, created FROM dovetail_message ORDER BY id LIMIT $1) m GROUP BY destination`,
	// A scheduled entry waits from when it is due, and so does one that its handler
	// deferred for ten minutes or more; the others from when they were enqueued.
	statusParked: `
SELECT destination, count(*) FILTER (WHERE state IN (1, 2, 3, 6)), count(*) FILTER (WHERE state = 4), count(*) FILTER (WHERE state = 5),
  min(CASE WHEN state IN (4, 5) THEN NULL WHEN state = 1 OR (state = 6 AND due - parked >= 600000) THEN due ELSE created END)
FROM (SELECT destination, state, due, parked, created FROM dovetail_parked ORDER BY id LIMIT $1) m GROUP BY destination`,
	letters: `
SELECT id, created, destination, lane, message, topic, key, headers, payload, parked, attempts, replays, class, code, field, error
FROM dovetail_parked
WHERE ($1::text = '' OR destination = $1) AND ($2::text = '' OR class = $2) AND ($3::text = '' OR code = $3) AND ($4::text = '' OR key = $4)
  AND ($5::text = '' OR topic = $5) AND ($6::text = '[]' OR message IN (SELECT jsonb_array_elements_text($6::text::jsonb)))
  AND parked >= $7 AND parked < $8 AND state = $9 AND id > $10
ORDER BY id LIMIT $11`,
	// What has a lane waits its turn in it; the lane is mended afterwards. Of two
	// who replay the same letter, the second changes nothing.
	replay: `
UPDATE dovetail_parked SET state = CASE lane WHEN '' THEN 2 ELSE 3 END, due = coalesce($1::bigint, ` + postgresNow + `), attempts = 0, replays = replays + 1
WHERE state IN (4, 5) AND id IN (SELECT jsonb_array_elements_text($2::text::jsonb)::bigint)`,
	discard:  `DELETE FROM dovetail_parked WHERE state IN (4, 5) AND id IN (SELECT jsonb_array_elements_text($1::text::jsonb)::bigint)`,
	mendLane: postgresMend + ` AND m.destination = $2 AND m.lane = $3`,
	left: `
SELECT EXISTS (SELECT 1 FROM dovetail_parked WHERE destination = $1 AND state = $2 AND class = $3 AND code = $4 AND field = $5)`,
	pause: `
INSERT INTO dovetail_pause (destination, who, why, at) VALUES ($1, $2, $3, coalesce($4::bigint, ` + postgresNow + `))
ON CONFLICT (destination) DO UPDATE SET who = excluded.who, why = excluded.why, at = excluded.at`,
	resume: `DELETE FROM dovetail_pause WHERE destination = $1`,
	record: `
INSERT INTO dovetail_operation (at, who, why, action, destination, filter, messages)
VALUES (coalesce($1::bigint, ` + postgresNow + `), $2, $3, $4, $5, $6, $7)`,
	operations: `
SELECT id, at, who, why, action, destination, filter, messages FROM dovetail_operation
WHERE ($1::text = '' OR destination = $1) AND ($2::text = '' OR who = $2) AND ($3::text = '' OR action = $3) AND at >= $4 AND at < $5 AND id < $6
ORDER BY id DESC LIMIT $7`,
}
