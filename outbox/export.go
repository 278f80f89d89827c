package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/tectari/dovetail"
)

// exported is a line of an export.
type exported struct {
	Seq         int64             `json:"seq"`
	Destination string            `json:"destination"`
	ID          string            `json:"id"`
	Topic       string            `json:"topic,omitempty"`
	Key         string            `json:"key,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Payload     []byte            `json:"payload"`
	Enqueued    time.Time         `json:"enqueued"`
	Parked      time.Time         `json:"parked"`
	Attempts    int               `json:"attempts"`
	Replays     int               `json:"replays"`
	InDoubt     bool              `json:"in_doubt"`
	Class       string            `json:"class"`
	Code        string            `json:"code,omitempty"`
	Field       string            `json:"field,omitempty"`
	Error       string            `json:"error"`
}

// Export writes what the filter selects to w, oldest first, one JSON object on
// each line: seq, destination, id, topic, key, headers, payload (base64),
// enqueued, parked, attempts, replays, in_doubt, class, code, field and error.
// The payload is what the messages carry, so treat the file like the data.
// Filter.Limit bounds how many in all, and zero is no bound; memory is bounded in
// any case. It returns how many were written.
func (q *Queue) Export(ctx context.Context, f Filter, w io.Writer) (int, error) {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	n := 0
	for pages := q.pages(f, letterPage); ; {
		list, err := pages.next(ctx)
		if err != nil {
			return n, fmt.Errorf("outbox: export: %w", err)
		}
		if len(list) == 0 {
			break
		}
		for _, l := range list {
			err := lines.Encode(exported{
				Seq: l.Seq, Destination: l.To, ID: l.ID, Topic: l.Topic, Key: l.Key, Headers: l.Headers, Payload: l.Payload,
				Enqueued: l.Enqueued.UTC(), Parked: l.Parked.UTC(), Attempts: l.Attempts, Replays: l.Replays, InDoubt: l.InDoubt,
				Class: l.Class.String(), Code: l.Code, Field: l.Field, Error: l.Error,
			})
			if err != nil {
				return n, fmt.Errorf("outbox: export %s: %w", l.ID, err)
			}
			n++
		}
	}
	q.observer.Record(ctx, dovetail.Event{
		Name: "outbox.operation", Time: time.Now(), Destination: f.Destination, Outcome: "export", Count: int64(n),
		Why: "dead letters were read with their payloads",
	})
	return n, nil
}
