package sqlstore

// sqliteLedger holds SQLite's statements of the ledger part.
var sqliteLedger = ledgerSQL{
	// One row always comes back, so that the database's time does too.
	get: `
SELECT coalesce(?, ` + sqliteNow + `), scope, id, op, ` + ledgerColumns + `
FROM (SELECT 1) LEFT JOIN dovetail_ledger ON scope = ? AND id = ? AND op = ?`,
	// One row for each key comes back, in their order.
	getMany: `
SELECT coalesce(?1, ` + sqliteNow + `), l.scope, l.id, l.op, ` + ledgerColumns + `
FROM json_each(?2) k LEFT JOIN dovetail_ledger l ON l.scope = k.value ->> 0 AND l.id = k.value ->> 1 AND l.op = k.value ->> 2
ORDER BY k.key`,
	// The primary key decides which of two first claims wins.
	insert: `
INSERT INTO dovetail_ledger (scope, id, op, ` + ledgerColumns + `)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, id, op) DO NOTHING`,
	// The last four conditions say that the row is still the one that was read:
	// at most one claim wins, and the owner's own writes are not run over.
	claim: `
UPDATE dovetail_ledger SET state = ?, seq = ?, fence = ?, attempt = ?, lease_until = ?, last_sent = ?, updated = ?
WHERE scope = ? AND id = ? AND op = ? AND fence = ? AND state = ? AND lease_until = ? AND seq = ?`,
	// Whoever does not hold the highest fence changes nothing.
	mark: `
UPDATE dovetail_ledger SET
  unsure = CASE state WHEN 2 THEN unsure WHEN 4 THEN ?1 ELSE 0 END,
  first_sent = CASE WHEN state = 2 OR (state = 4 AND ?1 = 1) THEN first_sent ELSE coalesce(?2, ` + sqliteNow + `) END,
  state = 2, last_sent = coalesce(?2, ` + sqliteNow + `), updated = coalesce(?2, ` + sqliteNow + `),
  fingerprint = ?3, seq = max(seq, ?4), request = ?5
WHERE scope = ?6 AND id = ?7 AND op = ?8 AND fence = ?9 AND state <> 3`,
	complete: `
UPDATE dovetail_ledger SET state = 3, fingerprint = ?1, ref = ?2, version = ?3, result = ?4, who = ?5,
  request = NULL, unsure = 0, cause = '', lease_until = coalesce(?6, ` + sqliteNow + `), updated = coalesce(?6, ` + sqliteNow + `)
WHERE scope = ?7 AND id = ?8 AND op = ?9 AND fence = ?10`,
	// A request that is not proven undone, now or before, stays in doubt.
	release: `
UPDATE dovetail_ledger SET
  last_sent = CASE WHEN state = 2 AND ?1 = 0 AND ?2 = 0 THEN coalesce(?3, ` + sqliteNow + `) ELSE last_sent END,
  request = CASE WHEN ?2 = 1 OR (state = 2 AND ?1 = 1 AND unsure = 0) THEN NULL ELSE request END,
  unsure = CASE WHEN ?2 = 1 THEN 0 ELSE unsure END,
  state = CASE WHEN ?2 = 1 OR (state = 2 AND ?1 = 1 AND unsure = 0) THEN 1 WHEN state = 2 THEN 4 ELSE state END,
  cause = ?4, who = ?5, lease_until = coalesce(?3, ` + sqliteNow + `), updated = coalesce(?3, ` + sqliteNow + `)
WHERE scope = ?6 AND id = ?7 AND op = ?8 AND fence = ?9 AND state <> 3`,
	renew: `
UPDATE dovetail_ledger SET lease_until = coalesce(?, ` + sqliteNow + `) + ?
WHERE scope = ? AND id = ? AND op = ? AND fence = ? AND state <> 3`,
	sweep: `
DELETE FROM dovetail_ledger WHERE rowid IN (
  SELECT rowid FROM dovetail_ledger WHERE kind = 3 AND state = 3 AND updated < coalesce(?, ` + sqliteNow + `) - ? LIMIT ?)`,
	open: `
SELECT coalesce(?1, ` + sqliteNow + `), scope, id, op, ` + ledgerColumns + `
FROM dovetail_ledger
WHERE state IN (2, 4) AND (scope, id, op) > (?2, ?3, ?4) AND (state = 4 OR lease_until <= coalesce(?1, ` + sqliteNow + `))
ORDER BY scope, id, op LIMIT ?5`,
}
