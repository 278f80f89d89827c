package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, header http.Header) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("")), ProtoMajor: 1}
}

func sample() Notification {
	p := down.filled(time.Unix(1_700_000_000, 0))
	return Notification{ID: "n-1", State: Firing, Problem: p, Fingerprint: p.Fingerprint(), First: p.At, Last: p.At, Count: 1, Generation: 1}
}

func TestWebhookSignsWhatItPosts(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	s, err := Webhook(WebhookConfig{URL: "https://hooks.example/x", Secret: "s3cret", Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		got = r
		body, _ = io.ReadAll(r.Body)
		return answer(204, nil), nil
	})}})
	require.NoError(t, err)
	require.Equal(t, "webhook", s.Name())
	require.NoError(t, s.Send(t.Context(), sample()))
	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "n-1", got.Header.Get("Dovetail-Notification"))
	stamp, _, ok := strings.Cut(strings.TrimPrefix(got.Header.Get("Dovetail-Signature"), "t="), ",")
	require.True(t, ok)
	sec, err := time.ParseDuration(stamp + "s")
	require.NoError(t, err)
	require.Equal(t, sign([]byte("s3cret"), time.Unix(int64(sec/time.Second), 0), body), got.Header.Get("Dovetail-Signature"))
	require.NotEqual(t, sign([]byte("other"), time.Unix(int64(sec/time.Second), 0), body), got.Header.Get("Dovetail-Signature"))

	var m map[string]any
	require.NoError(t, json.Unmarshal(body, &m))
	require.Equal(t, "firing", m["state"])
	require.Equal(t, "critical", m["severity"])
	require.Equal(t, "2023-11-14T22:13:20Z", m["first"])
	require.Contains(t, m["text"], "Do: ")
}

func TestWebhookSignatureIsStable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "t=1700000000,v1=c6ef4734033cee2367414a0939385eca0397754aa7a59716da7463a9298b5146", sign([]byte("k"), time.Unix(1_700_000_000, 0), []byte("{}")))
}

func TestSecretsStayIn(t *testing.T) {
	t.Parallel()
	const secret = "T00/B00/XXsecretXX"
	fails := func(err error, status int) error {
		var log bytes.Buffer
		s, e := Webhook(WebhookConfig{URL: "https://hooks.example/" + secret + "?k=" + secret, Secret: secret,
			Client: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				if err != nil {
					return nil, err
				}
				return answer(status, http.Header{"Location": {"https://evil.example/"}}), nil
			})}})
		require.NoError(t, e)
		err = s.Send(t.Context(), sample())
		require.NoError(t, Log(slog.New(slog.NewTextHandler(&log, nil))).Send(t.Context(), sample()))
		require.NotContains(t, log.String(), secret)
		return err
	}
	for _, err := range []error{fails(errors.New("dial"), 0), fails(nil, 500), fails(nil, 307), fails(context.Canceled, 0)} {
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
	_, err := Webhook(WebhookConfig{URL: "ht!tp://" + secret})
	require.Error(t, err)
	require.NotContains(t, err.Error(), secret)
	body, err := jsonBody(sample())
	require.NoError(t, err)
	require.NotContains(t, string(body), secret)
}

func TestWebhookFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var hosts []string
	s, err := Webhook(WebhookConfig{URL: "https://hooks.example/x", Client: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Host)
		return answer(307, http.Header{"Location": {"https://evil.example/"}}), nil
	})}})
	require.NoError(t, err)
	require.ErrorContains(t, s.Send(t.Context(), sample()), "status 307")
	require.Equal(t, []string{"hooks.example"}, hosts)
}

func TestWebhookConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "ftp://x", "nonsense", "https://"} {
		_, err := Webhook(WebhookConfig{URL: u})
		require.ErrorContains(t, err, "WebhookConfig.URL", u)
	}
}

func TestChatBodiesCarryTheText(t *testing.T) {
	t.Parallel()
	for _, body := range []func(Notification) ([]byte, error){SlackBody, TeamsBody} {
		b, err := body(sample())
		require.NoError(t, err)
		require.True(t, json.Valid(b))
		require.Contains(t, string(b), "system is down")
	}
}

func TestLogUsesTheSeverity(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	s := Log(slog.New(slog.NewTextHandler(&b, nil)))
	n := sample()
	require.NoError(t, s.Send(t.Context(), n))
	n.State = Resolved
	require.NoError(t, s.Send(t.Context(), n))
	lines := strings.Split(b.String(), "\n")
	require.Contains(t, lines[0], "level=ERROR")
	require.Contains(t, lines[0], `why="503 from the gateway"`)
	require.Contains(t, lines[1], "level=INFO")
}
