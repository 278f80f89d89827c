package dovetail_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
)

// kept is an Observer that keeps what it is told.
type kept struct{ events []dovetail.Event }

func (*kept) Start(ctx context.Context, _ dovetail.Event) context.Context { return ctx }
func (k *kept) Record(_ context.Context, e dovetail.Event)                { k.events = append(k.events, e) }

func TestObserverOrReturnsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	k := &kept{}
	require.Same(t, k, dovetail.ObserverOr(k))
}

// Not parallel: it looks at slog.Default, as the library does.
func TestNilObserverWritesFailuresAndNothingElse(t *testing.T) {
	var out bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	t.Cleanup(func() { slog.SetDefault(old) })

	o := dovetail.ObserverOr(nil)
	ctx := o.Start(t.Context(), dovetail.Event{Name: "outbox.delivery"})
	require.Equal(t, t.Context(), ctx)
	o.Record(ctx, dovetail.Event{Name: "outbox.delivery", Outcome: "delivered"})
	require.Empty(t, out.String())

	o.Record(ctx, dovetail.Event{
		Name: "outbox.delivery", Link: "l", System: "erp", Destination: "d", Key: "k", Ref: dovetail.Ref{System: "erp", ID: "7"},
		Field: "f", Message: "m", Attempt: 2, Outcome: "parked", Why: "w", Err: errors.New("no"), Class: dovetail.Invalid,
	})
	require.Equal(t, `level=WARN msg=outbox.delivery link=l system=erp destination=d key=k ref=erp:7 field=f message=m attempt=2 outcome=parked class=invalid why=w error=no`+"\n", out.String())

	out.Reset()
	o.Record(ctx, dovetail.Event{Name: "x", Err: dovetail.NewError(dovetail.Auth, "get", "expired")})
	require.Equal(t, "level=WARN msg=x class=auth error=\"get: expired\"\n", out.String(), "the class of the error, where the event gives none")
}
