package webhook

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The vector of the Standard Webhooks libraries.
func TestStandardVector(t *testing.T) {
	t.Parallel()
	at, body := time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	d, err := Standard(secretA).Verify(h, body, at)
	require.NoError(t, err)
	require.Equal(t, Delivery{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Time: at}, d)
	_, err = Standard(strings.TrimPrefix(secretA, secretPrefix)).Verify(h, body, at)
	require.NoError(t, err, "without the prefix")
	require.Equal(t, h, SignStandard(secretA, d.ID, at, body))
}

// The example of GitHub's documentation.
func TestGitHubVector(t *testing.T) {
	t.Parallel()
	v, h := GitHub("It's a Secret to Everybody"), http.Header{}
	const sig = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	h.Set("X-Hub-Signature-256", "sha256="+sig)
	_, err := v.Verify(h, []byte("Hello, World!"), time.Now())
	require.NoError(t, err)
	_, err = v.Verify(h, []byte("Hello, World?"), time.Now())
	require.ErrorIs(t, err, ErrUnverified)
	for _, other := range []string{"sha1=" + sig, sig, "sha256=", "sha256=" + sig[:62], "sha256=" + sig + "00"} {
		h.Set("X-Hub-Signature-256", other)
		_, err = v.Verify(h, []byte("Hello, World!"), time.Now())
		require.ErrorIs(t, err, ErrUnverified, other)
	}
}

func TestShopify(t *testing.T) {
	t.Parallel()
	body, h := []byte(`{"id":1}`), http.Header{}
	h.Set("X-Shopify-Hmac-SHA256", base64.StdEncoding.EncodeToString(sign([]byte("shpss_0123456789abcdef"), body)))
	_, err := Shopify("another-secret-of-it", "shpss_0123456789abcdef").Verify(h, body, time.Now())
	require.NoError(t, err)
	_, err = Shopify("another-secret-of-it").Verify(h, body, time.Now())
	require.ErrorIs(t, err, ErrUnverified)
}

func TestStripe(t *testing.T) {
	t.Parallel()
	now, body := time.Unix(1492774577, 0), []byte(`{"type":"charge.succeeded"}`)
	const secret = "whsec_test_0123456789" // #nosec G101 -- a test's
	sig := func(at, secret string) string {
		return hex.EncodeToString(sign([]byte(secret), []byte(at), []byte("."), body))
	}
	at := "1492774577"
	for header, ok := range map[string]bool{
		"t=" + at + ",v1=" + sig(at, secret):                                            true,
		"t=" + at + ",v1=" + sig(at, "whsec_test_other_one") + ",v1=" + sig(at, secret): true, // rotation
		"t=" + at + ",v0=" + sig(at, secret):                                            false,
		"t=" + at + ",v1=" + sig(at, "whsec_test_other_one"):                            false,
		"v1=" + sig(at, secret):                                                         false,
		"t=" + at:                                                                       false,
		"t=" + at + ",t=" + at + ",v1=" + sig(at, secret):                               false,
		"t=1492774578,v1=" + sig(at, secret):                                            false,
		"t=" + at + ",v1":                                                               false,
		"":                                                                              false,
	} {
		_, err := Stripe(secret).Verify(http.Header{"Stripe-Signature": {header}}, body, now)
		require.Equal(t, ok, err == nil, header)
	}
	for _, skew := range []time.Duration{-6 * time.Minute, 6 * time.Minute} {
		at := strconv.FormatInt(now.Add(skew).Unix(), 10)
		_, err := Stripe(secret).Verify(http.Header{"Stripe-Signature": {"t=" + at + ",v1=" + sig(at, secret)}}, body, now)
		require.ErrorIs(t, err, ErrUnverified, "signed %v from now", skew)
	}
}

func TestHMACWithTime(t *testing.T) {
	t.Parallel()
	now, body, secret := time.Unix(1700000000, 0), []byte("body"), "0123456789abcdef"
	v := HMAC(HMACConfig{Header: "X-Sig", TimeHeader: "X-Time"}, secret)
	verify := func(at string) error {
		h := http.Header{"X-Time": {at}, "X-Sig": {hex.EncodeToString(sign([]byte(secret), []byte(at), []byte("."), body))}}
		_, err := v.Verify(h, body, now)
		return err
	}
	require.NoError(t, verify("1700000000"))
	require.NoError(t, verify("01700000000"), "what is signed is the header's own text")
	for _, at := range []string{"1699999699", "1700000301", "", "-1", "1700000000.5", "99999999999999999999", "9223372036854775807"} {
		require.ErrorIs(t, verify(at), ErrUnverified, at)
	}
}

// Whatever comes, a verifier answers with ErrUnverified and never panics.
func FuzzVerifiers(f *testing.F) {
	f.Add("msg_1", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte(`{"test": 2432232314}`))
	f.Add("t=1,v1=00", "sha256=", "v1, v1,,", []byte{})
	f.Add("", "-9223372036854775808", strings.Repeat("v1,a ", 100), []byte("\x00"))
	verifiers := map[string]Verifier{
		"Webhook-Signature": Standard(secretA), "Stripe-Signature": Stripe("0123456789abcdef"), "X-Hub-Signature-256": GitHub("0123456789abcdef"),
		"X-Shopify-Hmac-Sha256": Shopify("0123456789abcdef"), "X-Sig": HMAC(HMACConfig{Header: "X-Sig", TimeHeader: "Webhook-Timestamp"}, "0123456789abcdef"),
	}
	f.Fuzz(func(t *testing.T, id, at, sig string, body []byte) {
		for header, v := range verifiers {
			for _, text := range []string{id, at, sig} {
				h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}}
				h.Set(header, text)
				d, err := v.Verify(h, body, time.Unix(1614265330, 0))
				require.ErrorIs(t, err, ErrUnverified)
				require.Equal(t, Delivery{}, d)
			}
		}
	})
}

// What is signed is accepted, and no single byte of it may change.
func FuzzStandardRoundTrip(f *testing.F) {
	f.Add("msg_1", int64(1614265330), []byte(`{"test": 2432232314}`), uint(3))
	f.Add("a.b", int64(0), []byte{}, uint(0))
	f.Fuzz(func(t *testing.T, id string, at int64, body []byte, flip uint) {
		now := time.Unix(at, 0)
		if id == "" || at < 0 || at > 1<<40 || ambiguous(id) {
			return // no sender makes such a delivery
		}
		h := SignStandard(secretA, id, now, body)
		d, err := Standard(secretB, secretA).Verify(h, body, now)
		require.NoError(t, err)
		require.Equal(t, id, d.ID)
		if len(body) > 0 {
			forged := append([]byte(nil), body...)
			forged[flip%uint(len(forged))] ^= 1
			_, err = Standard(secretA).Verify(h, forged, now)
			require.ErrorIs(t, err, ErrUnverified)
		}
	})
}
