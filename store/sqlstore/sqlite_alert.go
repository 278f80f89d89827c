package sqlstore

// sqliteAlert holds SQLite's statements of the alert part.
var sqliteAlert = alertSQL{
	load:   `SELECT seq, body FROM dovetail_problem WHERE fingerprint = ?`,
	insert: `INSERT INTO dovetail_problem (fingerprint, seq, body) VALUES (?, 1, ?) ON CONFLICT DO NOTHING`,
	// The seq in the WHERE clause is what two writers of one problem meet at.
	update: `UPDATE dovetail_problem SET seq = seq + 1, body = ? WHERE fingerprint = ? AND seq = ?`,
	remove: `DELETE FROM dovetail_problem WHERE fingerprint = ? AND seq = ?`,
	list:   `SELECT fingerprint, seq, body FROM dovetail_problem WHERE fingerprint > ? ORDER BY fingerprint LIMIT ?`,
	// That one process sends rests on this: the row changes hands only when its
	// time is over, by the database's clock.
	lease: `
INSERT INTO dovetail_alert_lease (one, holder, until) VALUES (1, ?1, coalesce(?2, ` + sqliteNow + `) + ?3)
ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE dovetail_alert_lease.holder = excluded.holder OR dovetail_alert_lease.until <= coalesce(?2, ` + sqliteNow + `)`,
	release: `DELETE FROM dovetail_alert_lease WHERE holder = ?`,
}
