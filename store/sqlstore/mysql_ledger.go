package sqlstore

// mysqlLedger holds the statements of the ledger part for MySQL and MariaDB.
//
// Each UPDATE counts the writes: whether a row was found is told by how many were
// changed, and a row that is set to what it holds counts as none. Assignments are
// made from left to right, so what the others ask for, state and unsure, comes last.
var mysqlLedger = ledgerSQL{
	// One row always comes back, so that the database's time does too.
	get: `
SELECT coalesce(?1, ` + mysqlNow + `), scope, id, op, ` + ledgerColumns + `
FROM (SELECT 1 AS one) o LEFT JOIN dovetail_ledger ON scope = ?2 AND id = ?3 AND op = ?4`,
	// One row for each key comes back, in their order.
	getMany: `
SELECT coalesce(?1, ` + mysqlNow + `), l.scope, l.id, l.op, ` + ledgerColumns + `
FROM JSON_TABLE(?2, '$[*]' COLUMNS (n FOR ORDINALITY,
  s VARCHAR(1024) CHARACTER SET utf8mb4 PATH '$[0]', i VARCHAR(1024) CHARACTER SET utf8mb4 PATH '$[1]', o VARCHAR(1024) CHARACTER SET utf8mb4 PATH '$[2]')) k
LEFT JOIN dovetail_ledger l FORCE INDEX (PRIMARY) ON l.scope = cast(k.s AS BINARY) AND l.id = cast(k.i AS BINARY) AND l.op = cast(k.o AS BINARY)
ORDER BY k.n`,
	// The primary key decides which of two first claims wins. IGNORE and not ON
	// DUPLICATE KEY: of that, drivers may count the row as touched. It would also cut
	// what is too long, but the columns hold every key there is.
	insert: `
INSERT IGNORE INTO dovetail_ledger (scope, id, op, ` + ledgerColumns + `)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
	// The last four conditions say that the row is still the one that was read:
	// at most one claim wins, and the owner's own writes are not run over.
	claim: `
UPDATE dovetail_ledger SET writes = writes + 1, state = ?, seq = ?, fence = ?, attempt = ?, lease_until = ?, last_sent = ?, updated = ?
WHERE scope = ? AND id = ? AND op = ? AND fence = ? AND state = ? AND lease_until = ? AND seq = ?`,
	// Whoever does not hold the highest fence changes nothing.
	mark: `
UPDATE dovetail_ledger SET writes = writes + 1,
  unsure = CASE state WHEN 2 THEN unsure WHEN 4 THEN ?1 ELSE 0 END,
  first_sent = CASE WHEN state = 2 OR (state = 4 AND ?1 = 1) THEN first_sent ELSE coalesce(?2, ` + mysqlNow + `) END,
  last_sent = coalesce(?2, ` + mysqlNow + `), updated = coalesce(?2, ` + mysqlNow + `),
  fingerprint = ?3, seq = greatest(seq, ?4), request = ?5, state = 2
WHERE scope = ?6 AND id = ?7 AND op = ?8 AND fence = ?9 AND state <> 3`,
	complete: `
UPDATE dovetail_ledger SET writes = writes + 1, fingerprint = ?1, ref = ?2, version = ?3, result = ?4, who = ?5,
  request = NULL, unsure = 0, cause = '', lease_until = coalesce(?6, ` + mysqlNow + `), updated = coalesce(?6, ` + mysqlNow + `), state = 3
WHERE scope = ?7 AND id = ?8 AND op = ?9 AND fence = ?10`,
	// A request that is not proven undone, now or before, stays in doubt.
	release: `
UPDATE dovetail_ledger SET writes = writes + 1,
  last_sent = CASE WHEN state = 2 AND ?1 = 0 AND ?2 = 0 THEN coalesce(?3, ` + mysqlNow + `) ELSE last_sent END,
  request = CASE WHEN ?2 = 1 OR (state = 2 AND ?1 = 1 AND unsure = 0) THEN NULL ELSE request END,
  cause = ?4, who = ?5, lease_until = coalesce(?3, ` + mysqlNow + `), updated = coalesce(?3, ` + mysqlNow + `),
  state = CASE WHEN ?2 = 1 OR (state = 2 AND ?1 = 1 AND unsure = 0) THEN 1 WHEN state = 2 THEN 4 ELSE state END,
  unsure = CASE WHEN ?2 = 1 THEN 0 ELSE unsure END
WHERE scope = ?6 AND id = ?7 AND op = ?8 AND fence = ?9 AND state <> 3`,
	renew: `
UPDATE dovetail_ledger SET writes = writes + 1, lease_until = coalesce(?, ` + mysqlNow + `) + ?
WHERE scope = ? AND id = ? AND op = ? AND fence = ? AND state <> 3`,
	sweep: `DELETE FROM dovetail_ledger WHERE swept < coalesce(?, ` + mysqlNow + `) - ? ORDER BY swept LIMIT ?`,
	open: `
SELECT coalesce(?1, ` + mysqlNow + `), scope, id, op, ` + ledgerColumns + `
FROM dovetail_ledger FORCE INDEX (dovetail_ledger_open)
WHERE doubtful = 1 AND (scope > ?2 OR scope = ?2 AND (id > ?3 OR id = ?3 AND op > ?4)) AND (state = 4 OR lease_until <= coalesce(?1, ` + mysqlNow + `))
ORDER BY scope, id, op LIMIT ?5`,
}
