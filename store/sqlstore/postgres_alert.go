package sqlstore

// postgresAlert holds Postgres's statements of the alert part.
var postgresAlert = alertSQL{
	load:   `SELECT seq, body FROM dovetail_problem WHERE fingerprint = $1`,
	insert: `INSERT INTO dovetail_problem (fingerprint, seq, body) VALUES ($1, 1, $2) ON CONFLICT DO NOTHING`,
	// The seq in the WHERE clause is what two writers of one problem meet at.
	update: `UPDATE dovetail_problem SET seq = seq + 1, body = $1 WHERE fingerprint = $2 AND seq = $3`,
	remove: `DELETE FROM dovetail_problem WHERE fingerprint = $1 AND seq = $2`,
	list:   `SELECT fingerprint, seq, body FROM dovetail_problem WHERE fingerprint > $1 ORDER BY fingerprint LIMIT $2`,
	// That one process sends rests on this: the row changes hands only when its
	// time is over, by the database's clock.
	lease: `
INSERT INTO dovetail_alert_lease (one, holder, until) VALUES (1, $1, coalesce($2::bigint, ` + postgresNow + `) + $3::bigint)
ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE dovetail_alert_lease.holder = excluded.holder OR dovetail_alert_lease.until <= coalesce($2::bigint, ` + postgresNow + `)`,
	release: `DELETE FROM dovetail_alert_lease WHERE holder = $1`,
}
