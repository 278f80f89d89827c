// Package webhook measures the verification of webhooks beside the senders' own
// libraries:
//
//	cd internal/bench && go test ./webhook -bench Verify -count 5
package webhook

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	stripe "github.com/stripe/stripe-go/v84/webhook"

	"github.com/tectari/dovetail/webhook"
)

const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"   // #nosec G101 -- the example of the specification
	stripeSecret   = "whsec_0123456789abcdef0123456789abcdef00" // #nosec G101 -- made up
)

// verifications are one delivery of 2 kB, verified by each.
func verifications(t testing.TB) map[string]func() error {
	body, now := []byte(`{"id":"evt_1","data":"`+strings.Repeat("x", 2025)+`"}`), time.Now()
	standard := webhook.SignStandard(standardSecret, "msg_p5jXN8AQM9LWM0D4loKWxJek", now, body)
	theirs, err := standardwebhooks.NewWebhook(standardSecret)
	require.NoError(t, err)
	at := strconv.FormatInt(now.Unix(), 10)
	header := "t=" + at + ",v1=" + hex.EncodeToString(stripe.ComputeSignature(now, body, stripeSecret))
	signed := http.Header{"Stripe-Signature": {header}}
	ours, oursStripe := webhook.Standard(standardSecret), webhook.Stripe(stripeSecret)
	return map[string]func() error{
		"Standard/Dovetail":          func() error { _, err := ours.Verify(standard, body, now); return err },
		"Standard/standard-webhooks": func() error { return theirs.Verify(body, standard) },
		"Stripe/Dovetail":            func() error { _, err := oursStripe.Verify(signed, body, now); return err },
		"Stripe/stripe-go":           func() error { return stripe.ValidatePayload(body, header, stripeSecret) },
	}
}

func BenchmarkVerify(b *testing.B) {
	for name, verify := range verifications(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := verify(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// All of them verify what is measured.
func TestEachVerifies(t *testing.T) {
	t.Parallel()
	for name, verify := range verifications(t) {
		require.NoError(t, verify(), name)
	}
}
