package world

import (
	"context"

	"github.com/tectari/dovetail/examples/storeaccounting/acctsim"
	"github.com/tectari/dovetail/examples/storeaccounting/storesim"
)

// Stats is what the two systems have counted since the story began, earlier
// runs included. A kill may lose the last tenth of a second of it.
type Stats struct {
	OrdersPlaced int64
	StoreEdits   int64 // by people
	AcctEdits    int64 // by people
	EditsDropped int64 // scripted for contacts that never came

	WebhooksFired   int64 // deliveries answered 2xx
	WebhooksTwice   int64 // those among them that told the same again
	WebhooksLost    int64 // events never sent
	WebhooksRetried int64 // attempts not answered 2xx
	WebhooksGivenUp int64 // deliveries dropped after 10 minutes of that
	WebhooksOwed    int64 // deliveries not made yet

	StoreWrites      int64 // PATCH calls, whatever came of them
	StoreRepliesLost int64 // of writes that were done

	AcctRequests    int64
	AcctWrites      int64 // POST and PATCH calls that were let in, whatever came of them
	AcctTooMany     int64 // calls answered 429
	AcctRefused     int64 // calls answered 503
	AcctRepliesLost int64 // of writes that were done
	AcctBroken      int64 // writes done and answered 500
	AcctSlow        int64
	KeysReplayed    int64
	ContactsMade    int64
	InvoicesMade    int64
}

// Stats returns the counts as they are now.
func (w *World) Stats() Stats {
	s, a := w.store.Counters(), w.accounting.Counters()
	owed, err := w.store.Undelivered(context.Background())
	if err != nil {
		owed = -1 // the file is closed: nobody knows
	}
	return Stats{
		OrdersPlaced: s[storesim.OrdersPlaced], StoreEdits: s[storesim.Edits],
		AcctEdits: a[acctsim.Edits], EditsDropped: a[acctsim.EditsDropped],
		WebhooksFired: s[storesim.WebhooksFired], WebhooksTwice: s[storesim.WebhooksTwice], WebhooksLost: s[storesim.WebhooksLost],
		WebhooksRetried: s[storesim.WebhooksRetried], WebhooksGivenUp: s[storesim.WebhooksGivenUp], WebhooksOwed: int64(owed),
		StoreWrites: s[storesim.Writes], StoreRepliesLost: s[storesim.RepliesLost],
		AcctRequests: a[acctsim.Requests], AcctWrites: a[acctsim.Writes], AcctTooMany: a[acctsim.TooMany], AcctRefused: a[acctsim.Refused],
		AcctRepliesLost: a[acctsim.RepliesLost], AcctBroken: a[acctsim.BrokenAfter], AcctSlow: a[acctsim.SlowAnswers],
		KeysReplayed: a[acctsim.KeysReplayed], ContactsMade: a[acctsim.ContactsMade], InvoicesMade: a[acctsim.InvoicesMade],
	}
}
