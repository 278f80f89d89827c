package sqlstore

// postgresLedger holds Postgres's statements of the ledger part.
var postgresLedger = ledgerSQL{
	// One row always comes back, so that the database's time does too.
	get: `
SELECT coalesce($1::bigint, ` + postgresNow + `), scope, id, op, ` + ledgerColumns + `
FROM (SELECT 1) one LEFT JOIN dovetail_ledger ON scope = $2 AND id = $3 AND op = $4`,
	// One row for each key comes back, in their order. OFFSET 0 keeps the planner to
	// one look at the primary key each, whatever the statistics say.
	getMany: `
SELECT coalesce($1::bigint, ` + postgresNow + `), l.scope, l.id, l.op, ` + ledgerColumns + `
FROM jsonb_array_elements($2::text::jsonb) WITH ORDINALITY k(value, n)
LEFT JOIN LATERAL (
  SELECT * FROM dovetail_ledger WHERE scope = k.value ->> 0 AND id = k.value ->> 1 AND op = k.value ->> 2 OFFSET 0
) l ON true
ORDER BY k.n`,
	// The primary key decides which of two first claims wins.
	insert: `
INSERT INTO dovetail_ledger (scope, id, op, ` + ledgerColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (scope, id, op) DO NOTHING`,
	// The last four conditions say that the row is still the one that was read:
	// at most one claim wins, and the owner's own writes are not run over.
	claim: `
UPDATE dovetail_ledger SET state = $1, seq = $2, fence = $3, attempt = $4, lease_until = $5, last_sent = $6, updated = $7
WHERE scope = $8 AND id = $9 AND op = $10 AND fence = $11 AND state = $12 AND lease_until = $13 AND seq = $14`,
	// Whoever does not hold the highest fence changes nothing.
	mark: `
UPDATE dovetail_ledger SET
  unsure = CASE state WHEN 2 THEN unsure WHEN 4 THEN $1::smallint ELSE 0 END,
  first_sent = CASE WHEN state = 2 OR (state = 4 AND $1::smallint = 1) THEN first_sent ELSE coalesce($2::bigint, ` + postgresNow + `) END,
  state = 2, last_sent = coalesce($2::bigint, ` + postgresNow + `), updated = coalesce($2::bigint, ` + postgresNow + `),
  fingerprint = $3, seq = greatest(seq, $4::bigint), request = $5
WHERE scope = $6 AND id = $7 AND op = $8 AND fence = $9 AND state <> 3`,
	complete: `
UPDATE dovetail_ledger SET state = 3, fingerprint = $1, ref = $2, version = $3, result = $4, who = $5,
  request = NULL, unsure = 0, cause = '', lease_until = coalesce($6::bigint, ` + postgresNow + `), updated = coalesce($6::bigint, ` + postgresNow + `)
WHERE scope = $7 AND id = $8 AND op = $9 AND fence = $10`,
	// A request that is not proven undone, now or before, stays in doubt.
	release: `
UPDATE dovetail_ledger SET
  last_sent = CASE WHEN state = 2 AND $1::smallint = 0 AND $2::smallint = 0 THEN coalesce($3::bigint, ` + postgresNow + `) ELSE last_sent END,
  request = CASE WHEN $2::smallint = 1 OR (state = 2 AND $1::smallint = 1 AND unsure = 0) THEN NULL ELSE request END,
  unsure = CASE WHEN $2::smallint = 1 THEN 0 ELSE unsure END,
  state = CASE WHEN $2::smallint = 1 OR (state = 2 AND $1::smallint = 1 AND unsure = 0) THEN 1 WHEN state = 2 THEN 4 ELSE state END,
  cause = $4, who = $5, lease_until = coalesce($3::bigint, ` + postgresNow + `), updated = coalesce($3::bigint, ` + postgresNow + `)
WHERE scope = $6 AND id = $7 AND op = $8 AND fence = $9 AND state <> 3`,
	renew: `
UPDATE dovetail_ledger SET lease_until = coalesce($1::bigint, ` + postgresNow + `) + $2::bigint
WHERE scope = $3 AND id = $4 AND op = $5 AND fence = $6 AND state <> 3`,
	sweep: `
DELETE FROM dovetail_ledger WHERE (scope, id, op) IN (
  SELECT scope, id, op FROM dovetail_ledger
  WHERE kind = 3 AND state = 3 AND updated < coalesce($1::bigint, ` + postgresNow + `) - $2::bigint ORDER BY updated LIMIT $3)`,
	open: `
SELECT coalesce($1::bigint, ` + postgresNow + `), scope, id, op, ` + ledgerColumns + `
FROM dovetail_ledger
WHERE state IN (2, 4) AND (scope, id, op) > ($2, $3, $4) AND (state = 4 OR lease_until <= coalesce($1::bigint, ` + postgresNow + `))
ORDER BY scope, id, op LIMIT $5`,
}
