package sqlstore

// mysqlAlert holds the statements of the alert part for MySQL and MariaDB.
var mysqlAlert = alertSQL{
	load:   `SELECT seq, body FROM dovetail_problem WHERE fingerprint = ?`,
	insert: `INSERT INTO dovetail_problem (fingerprint, seq, body) VALUES (?, 1, ?) ON DUPLICATE KEY UPDATE seq = seq`,
	// The seq in the WHERE clause is what two writers of one problem meet at.
	update: `UPDATE dovetail_problem SET seq = seq + 1, body = ? WHERE fingerprint = ? AND seq = ?`,
	remove: `DELETE FROM dovetail_problem WHERE fingerprint = ? AND seq = ?`,
	list:   `SELECT fingerprint, seq, body FROM dovetail_problem WHERE fingerprint > ? ORDER BY fingerprint LIMIT ?`,
	// That one process sends rests on this: the row changes hands only when its
	// time is over, by the database's clock. The assignments are made from left to
	// right: after the first, the holder is a's exactly if a has the lease.
	lease: `
INSERT INTO dovetail_alert_lease (one, holder, until, seq)
SELECT 1, a.holder, a.time + a.ttl, 1 FROM (SELECT ? AS holder, coalesce(?, ` + mysqlNow + `) AS time, ? AS ttl) a
ON DUPLICATE KEY UPDATE
  holder = IF(dovetail_alert_lease.until <= a.time, a.holder, dovetail_alert_lease.holder),
  seq    = IF(dovetail_alert_lease.holder = a.holder, dovetail_alert_lease.seq + 1, dovetail_alert_lease.seq),
  until  = IF(dovetail_alert_lease.holder = a.holder, a.time + a.ttl, dovetail_alert_lease.until)`,
	release: `DELETE FROM dovetail_alert_lease WHERE holder = ?`,
}
