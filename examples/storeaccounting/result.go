package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/audit"
	"github.com/tectari/dovetail/examples/storeaccounting/connector"
	"github.com/tectari/dovetail/examples/storeaccounting/world"
)

// result is what a run did and how it ended.
type result struct {
	Orders               int     `json:"orders"`
	Customers            int     `json:"customers"`
	Webhooks             int64   `json:"webhooks"`
	DuplicatesSuppressed int64   `json:"duplicates_suppressed"`
	Retries              int64   `json:"retries"`
	Throttled            int64   `json:"throttled"`
	InDoubtResolved      int64   `json:"in_doubt_resolved"`
	Conflicts            int64   `json:"conflicts"`
	TrespassesReverted   int64   `json:"trespasses_reverted"`
	Parked               int64   `json:"parked"`
	Alerts               int64   `json:"alerts"`
	Writes               int64   `json:"writes"`
	Unfinished           int64   `json:"unfinished"`
	Lost                 int     `json:"lost"`
	Duplicated           int     `json:"duplicated"`
	Disagreeing          int     `json:"disagreeing"`
	Seconds              float64 `json:"seconds"`

	waited, looked int64
	outage         bool // accounting was down, or going to be, when the run began
}

// count takes over what the connector counted.
func (r *result) count(c *connector.Counter, p *person) {
	r.DuplicatesSuppressed = c.Of("outbox.duplicate")
	r.Retries = c.Of("retry.attempt/again") + c.Of("outbox.delivery/again")
	r.InDoubtResolved = c.Of("idempotency.create/adopted") + c.Of("idempotency.create/replayed")
	r.Conflicts = c.Of("sync.conflict")
	r.TrespassesReverted = c.Of("sync.trespass")
	r.Parked += c.Of("sync.parked")
	r.Alerts = p.count()
	r.waited = c.Of("retry.attempt/accounting/unavailable")
}

// finish takes over what the two systems counted in this run, and the audit.
func (r *result) finish(before, after world.Stats, report audit.Report, took time.Duration) {
	r.Webhooks = after.WebhooksFired - before.WebhooksFired
	r.Throttled = after.AcctTooMany - before.AcctTooMany
	r.Writes = after.StoreWrites + after.AcctWrites - before.StoreWrites - before.AcctWrites
	r.Lost, r.Duplicated, r.Disagreeing = len(report.Lost), len(report.Duplicated), len(report.Disagreeing)
	r.Seconds = float64(took.Milliseconds()) / 1000
	r.looked = after.AcctRepliesLost + after.AcctBroken + after.StoreRepliesLost - before.AcctRepliesLost - before.AcctBroken - before.StoreRepliesLost
}

// missing says what is not there: lost, or waiting in the queue of a run that gave
// up. The auditor cannot tell the two apart; we can.
func (r *result) missing() string {
	if r.Unfinished == 0 {
		return fmt.Sprintf("lost %d", r.Lost)
	}
	return fmt.Sprintf("unfinished: %d things were still waiting, and the audit misses %d records", r.Unfinished, r.Lost)
}

// conclude prints what was done about each of the six mistakes, and the audit.
func conclude(out io.Writer, o options, r result, report audit.Report) error {
	fmt.Fprintln(out)
	if !o.naive {
		fmt.Fprintln(out, "What became of the six ways in which integrations fail:")
		fmt.Fprintf(out, "  1 no single source of truth   %d writes by a system to what it does not own: reverted and reported\n", r.TrespassesReverted)
		fmt.Fprintf(out, "  2 silent failure              a person was told %d times; %d records or rows were parked with their reason\n", r.Alerts, r.Parked)
		fmt.Fprintf(out, "  3 no sync rules               %d phones were changed on both sides: the rule decided, and why is on record\n", r.Conflicts)
		fmt.Fprintf(out, "  4 duplicates                  %d repeated webhooks dropped; %d replies lost after a write, %d creates in doubt settled without a second record\n", r.DuplicatesSuppressed, r.looked, r.InDoubtResolved)
		if r.outage {
			fmt.Fprintf(out, "  5 no fallback for downtime    20 story minutes down: work waited, %d calls met a closed door\n", r.waited)
		} else {
			fmt.Fprintf(out, "  5 no fallback for downtime    the outage was over before this run began\n")
		}
		fmt.Fprintf(out, "  6 naive API assumptions       %d calls over the limit (429); %d attempts were repeats\n\n", r.Throttled, r.Retries)
	}
	if err := report.Print(out, 10); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d orders of %d customers: %s, duplicated %d, disagreeing %d; %d writes in %.1f s\n",
		r.Orders, r.Customers, r.missing(), r.Duplicated, r.Disagreeing, r.Writes, r.Seconds)
	if !o.json {
		return nil
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, string(line))
	return err
}
