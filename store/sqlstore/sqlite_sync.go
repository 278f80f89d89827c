package sqlstore

// sqliteSync holds SQLite's statements of the sync part. Where the planner, which
// has no statistics of a young database, would walk the primary key by its first
// column, the index is named: such a statement fails loudly if the index is gone.
var sqliteSync = syncSQL{
	load:   `SELECT seq, present, outstanding, parked, body FROM dovetail_record WHERE link = ? AND key = ?`,
	insert: `INSERT INTO dovetail_record (link, key, seq, present, outstanding, parked, body) VALUES (?, ?, 1, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
	// The seq in the WHERE clause is what two writers of one record meet at.
	update: `UPDATE dovetail_record SET seq = seq + 1, present = ?, outstanding = ?, parked = ?, body = ? WHERE link = ? AND key = ? AND seq = ?`,

	refsOf: `SELECT system, id, key, state, version, shown FROM dovetail_ref INDEXED BY dovetail_ref_key WHERE link = ? AND key = ?`,
	// A remote ID that belongs to another record is not taken from it.
	putRef: `
INSERT INTO dovetail_ref (link, system, id, key, state, version, shown) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (link, system, id) DO UPDATE SET state = excluded.state, version = excluded.version, shown = excluded.shown
WHERE dovetail_ref.key = excluded.key`,
	dropRef:  `DELETE FROM dovetail_ref WHERE link = ? AND system = ? AND id = ? AND key = ?`,
	refsByID: `SELECT system, id, key, state, version, shown FROM dovetail_ref WHERE link = ? AND system = ? AND id IN (`,
	remotes:  `SELECT system, id, key, state, version, shown FROM dovetail_ref WHERE link = ? AND system = ? AND id > ? AND state = 1 ORDER BY id LIMIT ?`,

	matchesOf: `SELECT field, value FROM dovetail_match WHERE link = ? AND key = ?`,
	putMatch:  `INSERT INTO dovetail_match (link, field, value, key) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
	dropMatch: `DELETE FROM dovetail_match WHERE link = ? AND field = ? AND value = ? AND key = ?`,

	waitsOf:  `SELECT parent, system FROM dovetail_wait WHERE link = ? AND key = ?`,
	putWait:  `INSERT INTO dovetail_wait (parent, system, link, key) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
	dropWait: `DELETE FROM dovetail_wait WHERE parent = ? AND system = ? AND link = ? AND key = ?`,

	byRemote:   `SELECT key FROM dovetail_ref WHERE link = ? AND system = ? AND id = ? AND state <> 3 LIMIT ?`,
	byMatch:    `SELECT key FROM dovetail_match WHERE link = ? AND field = ? AND value = ? ORDER BY key LIMIT ?`,
	byCreating: `SELECT key FROM dovetail_ref WHERE link = ? AND system = ? AND state = 3 ORDER BY key LIMIT ?`,
	byParent:   `SELECT link || '/' || key FROM dovetail_wait WHERE parent = ? AND system = ? ORDER BY link, key LIMIT ?`,

	scanAll:         `SELECT key, seq, present, outstanding, parked, body FROM dovetail_record WHERE link = ? AND key > ? ORDER BY key LIMIT ?`,
	scanOutstanding: `SELECT key, seq, present, outstanding, parked, body FROM dovetail_record INDEXED BY dovetail_record_outstanding WHERE link = ? AND key > ? AND outstanding = 1 ORDER BY key LIMIT ?`,
	scanParked:      `SELECT key, seq, present, outstanding, parked, body FROM dovetail_record INDEXED BY dovetail_record_parked WHERE link = ? AND key > ? AND parked = 1 ORDER BY key LIMIT ?`,

	addHistory: `INSERT INTO dovetail_history (link, key, field, system, kind, rule, why, who, at, seen, old, new) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	history: `
SELECT field, system, kind, rule, why, who, at, seen, old, new FROM dovetail_history
WHERE link = ? AND key = ? AND (? = '' OR field = ?) ORDER BY id DESC LIMIT ?`,

	meta:    `SELECT value FROM dovetail_meta WHERE link = ? AND name = ?`,
	putMeta: `INSERT INTO dovetail_meta (link, name, value) VALUES (?, ?, ?) ON CONFLICT (link, name) DO UPDATE SET value = excluded.value`,
	delMeta: `DELETE FROM dovetail_meta WHERE link = ? AND name = ?`,

	countRecords: `SELECT count(*), coalesce(sum(outstanding), 0), coalesce(sum(parked), 0) FROM dovetail_record WHERE link = ?`,
	countRefs: `
SELECT f.system, count(*), coalesce(sum(1 - r.present), 0) FROM dovetail_ref f
JOIN dovetail_record r ON r.link = f.link AND r.key = f.key
WHERE f.link = ? AND f.state = 1 GROUP BY f.system`,
}
