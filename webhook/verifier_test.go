package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sign is HMAC-SHA256 as the documents of the senders write it, apart from our own.
func sign(secret []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, secret)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// The keys and the signature of version v1a in the Standard Webhooks specification.
func TestStandardAsymmetricVector(t *testing.T) {
	t.Parallel()
	const (
		private = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
		public  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
		sig     = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
	)
	at, body := time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", sig)
	require.Equal(t, h, SignStandard(private, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body))
	v := Standard(public)
	require.NoError(t, v.(Checker).Check())
	d, err := v.Verify(h, body, at)
	require.NoError(t, err)
	require.Equal(t, Delivery{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Time: at}, d)
	_, err = v.Verify(h, []byte(`{"test": 2432232315}`), at)
	require.ErrorIs(t, err, ErrUnverified)

	both := Standard(secretA, public) // while a sender moves from one version to the other
	_, err = both.Verify(h, body, at)
	require.NoError(t, err)
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	_, err = both.Verify(h, body, at)
	require.NoError(t, err)
	_, err = v.Verify(h, body, at)
	require.ErrorIs(t, err, ErrUnverified, "a signature of v1 is none of a public key")
	_, err = Standard(secretA).Verify(http.Header{"Webhook-Id": {"m"}, "Webhook-Timestamp": {"1614265330"}, "Webhook-Signature": {sig}}, body, at)
	require.ErrorIs(t, err, ErrUnverified, "a signature of v1a is none of a secret")
	h.Set("webhook-signature", "v1a,AAAA v1a, v1a,"+strings.Repeat("A", 88)+" "+sig)
	_, err = v.Verify(h, body, at)
	require.NoError(t, err, "any of several signatures will do")
	require.ErrorContains(t, Standard("whpk_AAAA", public).(Checker).Check(), "WHK106")
	require.ErrorContains(t, Standard("whpk_AAAA").(Checker).Check(), "WHK106")
}

func TestXeroAndIntuit(t *testing.T) {
	t.Parallel()
	body := []byte(`{"events":[],"lastEventSequence":0,"firstEventSequence":0,"entropy":"S0m3r4Nd0mt3xt"}`)
	for header, v := range map[string]Verifier{"x-xero-signature": Xero(secretB), "intuit-signature": Intuit("another secret of it", secretB)} {
		h := http.Header{}
		h.Set(header, base64.StdEncoding.EncodeToString(sign([]byte(secretB), body)))
		_, err := v.Verify(h, body, time.Now())
		require.NoError(t, err, header)
		_, err = v.Verify(h, append(body, ' '), time.Now())
		require.ErrorIs(t, err, ErrUnverified, header)
		_, err = v.Verify(http.Header{}, body, time.Now())
		require.ErrorIs(t, err, ErrUnverified, header)
	}
}

func TestHubSpot(t *testing.T) {
	t.Parallel()
	const target = "https://www.example.com/webhook_uri?of=us"
	now, body := time.UnixMilli(1492774577123), []byte(`[{"eventId":1}]`)
	signed := func(method, target, at string, body []byte) http.Header {
		sum := sign([]byte(secretB), []byte(method+target), body, []byte(at))
		h := http.Header{}
		h.Set("X-HubSpot-Signature-v3", base64.StdEncoding.EncodeToString(sum))
		h.Set("X-HubSpot-Request-Timestamp", at)
		return h
	}
	v := HubSpot(target, "another secret of it", secretB)
	d, err := v.Verify(signed("POST", target, "1492774577123", body), body, now)
	require.NoError(t, err)
	require.Equal(t, Delivery{Time: now}, d)
	for why, h := range map[string]http.Header{
		"another method": signed("PUT", target, "1492774577123", body), "another URL": signed("POST", target+"x", "1492774577123", body),
		"another body": signed("POST", target, "1492774577123", []byte(`[]`)), "no timestamp": {"X-Hubspot-Signature-V3": {"x"}},
		"old": signed("POST", target, "1492774277122", body), "of the future": signed("POST", target, "1492774877124", body),
		"seconds": signed("POST", target, "1492774577", body), "a sign": signed("POST", target, "+149277457712", body),
	} {
		_, err := v.Verify(h, body, now)
		require.ErrorIs(t, err, ErrUnverified, why)
	}
	// A digit cannot move from the timestamp to the body.
	h := signed("POST", target, "1492774577123", body)
	h.Set("X-HubSpot-Request-Timestamp", "492774577123")
	_, err = v.Verify(h, append(body, '1'), now)
	require.ErrorIs(t, err, ErrUnverified)
	require.ErrorContains(t, HubSpot("/webhooks", secretB).(Checker).Check(), "WHK107")
	require.ErrorContains(t, HubSpot(target).(Checker).Check(), "WHK101")
}

// To verify costs little more than to hash: nothing is allocated for it.
func TestVerifyingAllocatesNothing(t *testing.T) {
	body, now := []byte(strings.Repeat("x", 2048)), time.Now()
	at := strconv.FormatInt(now.Unix(), 10)
	stripe := http.Header{"Stripe-Signature": {"t=" + at + ",v1=" + hex.EncodeToString(sign([]byte(secretB), []byte(at+"."), body))}}
	github := http.Header{"X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(sign([]byte(secretB), body))}}
	for name, c := range map[string]struct {
		v Verifier
		h http.Header
	}{
		"Standard": {Standard(secretA), SignStandard(secretA, "msg_1", now, body)}, "Stripe": {Stripe(secretB), stripe}, "GitHub": {GitHub(secretB), github},
	} {
		n := testing.AllocsPerRun(200, func() {
			if _, err := c.v.Verify(c.h, body, now); err != nil {
				t.Fatal(name, err)
			}
		})
		require.LessOrEqual(t, n, float64(allocations), name)
	}
}

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
		"Webhook-Signature": Standard(secretA, "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="), "Stripe-Signature": Stripe("0123456789abcdef"), "X-Hub-Signature-256": GitHub("0123456789abcdef"),
		"X-Hubspot-Signature-V3": HubSpot("https://example.com/hubspot", "0123456789abcdef"), "X-Xero-Signature": Xero("0123456789abcdef"),
		"Intuit-Signature": Intuit("0123456789abcdef"), "X-Shopify-Hmac-Sha256": Shopify("0123456789abcdef"), "X-Sig": HMAC(HMACConfig{Header: "X-Sig", TimeHeader: "Webhook-Timestamp"}, "0123456789abcdef"),
	}
	f.Fuzz(func(t *testing.T, id, at, sig string, body []byte) {
		for header, v := range verifiers {
			for _, text := range []string{id, at, sig} {
				h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "X-Hubspot-Request-Timestamp": {at}}
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
