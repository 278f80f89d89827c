package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tectari/dovetail"
)

// A WebhookConfig sets up a sink that posts JSON.
type WebhookConfig struct {
	// Name is the sink's name. Defaults to "webhook".
	Name string
	// URL is where to post, https or http. It may hold a secret: it is in no
	// error. Required.
	URL string
	// Client sends. Redirects are never followed. Defaults to a client with a
	// timeout of 10 s.
	Client *http.Client
	// Secret signs the body: the header Dovetail-Signature is then "t=", the time
	// in Unix seconds, ",v1=", and the HMAC-SHA256 in hex of the time, a dot and
	// the body. Defaults to no signature.
	Secret string
	// Body makes what is posted, as JSON. Defaults to the fields of the
	// notification and its text; SlackBody and TeamsBody are others.
	Body func(Notification) ([]byte, error)
}

// Webhook returns a sink that posts each notification as JSON to a URL. Any
// status from 200 to 299 means accepted. The header Dovetail-Notification is the
// notification's ID, for a receiver that drops repeats. It returns
// dovetail.Faults for a configuration that cannot work.
func Webhook(c WebhookConfig) (Sink, error) {
	faults := dovetail.Faults{Package: "alert"}
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		faults.Add("ALERT020", "WebhookConfig.URL", "required", `write "https://…"`)
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		faults.Add("ALERT021", "WebhookConfig.URL", "is not an http URL", `write "https://…"`)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	w := &webhook{name: c.Name, url: c.URL, secret: []byte(c.Secret), body: c.Body}
	if w.name == "" {
		w.name = "webhook"
	}
	if w.body == nil {
		w.body = jsonBody
	}
	client := http.Client{Timeout: 10 * time.Second}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.client = &client
	return w, nil
}

type webhook struct {
	name   string
	url    string
	secret []byte
	client *http.Client
	body   func(Notification) ([]byte, error)
}

var _ Sink = (*webhook)(nil)

func (w *webhook) Name() string { return w.name }

func (w *webhook) Send(ctx context.Context, n Notification) error {
	body, err := w.body(n)
	if err != nil {
		return fmt.Errorf("make body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("make request: bad URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Dovetail-Notification", n.ID)
	if len(w.secret) > 0 {
		req.Header.Set("Dovetail-Signature", sign(w.secret, time.Now(), body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		// url.Error prints the URL, and chat services keep their secret there.
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return fmt.Errorf("post: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()      // the answer is not read further
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("post: status %d", resp.StatusCode)
	}
	return nil
}

func sign(secret []byte, now time.Time, body []byte) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// posted is the JSON form of a notification.
type posted struct {
	ID          string `json:"id"`
	State       State  `json:"state"`
	Fingerprint string `json:"fingerprint"`
	Severity    string `json:"severity"`
	Rule        Rule   `json:"rule"`
	Link        string `json:"link,omitempty"`
	System      string `json:"system,omitempty"`
	Destination string `json:"destination,omitempty"`
	Operation   string `json:"operation,omitempty"`
	Class       string `json:"class,omitempty"`
	Code        string `json:"code,omitempty"`
	Field       string `json:"field,omitempty"`
	Title       string `json:"title"`
	Why         string `json:"why,omitempty"`
	Hint        string `json:"hint,omitempty"`
	Sample      string `json:"sample,omitempty"`
	Note        string `json:"note,omitempty"`
	AckedBy     string `json:"acked_by,omitempty"`
	First       string `json:"first"`
	Last        string `json:"last"`
	Ended       string `json:"ended,omitempty"`
	Count       int64  `json:"count"`
	Waiting     int64  `json:"waiting"`
	Peak        int64  `json:"peak"`
	Generation  int    `json:"generation"`
	Text        string `json:"text"`
}

func jsonBody(n Notification) ([]byte, error) {
	p := n.Problem
	out := posted{ID: n.ID, State: n.State, Fingerprint: n.Fingerprint, Severity: p.Severity.String(), Rule: p.Rule,
		Link: p.Link, System: string(p.System), Destination: p.Destination, Operation: p.Operation, Code: p.Code, Field: p.Field,
		Title: p.Title, Why: p.Why, Hint: p.Hint, Sample: p.Sample, Note: n.Note, AckedBy: n.AckedBy,
		First: stamp(n.First), Last: stamp(n.Last), Ended: stamp(n.Ended),
		Count: n.Count, Waiting: p.Waiting, Peak: n.Peak, Generation: n.Generation, Text: n.Text()}
	if p.Class != dovetail.Unclassified {
		out.Class = p.Class.String()
	}
	return json.Marshal(out)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// SlackBody makes what a Slack incoming webhook takes. Assign it to
// WebhookConfig.Body.
func SlackBody(n Notification) ([]byte, error) {
	return json.Marshal(map[string]string{"text": n.Text()})
}

// TeamsBody makes what a Microsoft Teams workflow webhook takes: an adaptive
// card. Assign it to WebhookConfig.Body.
func TeamsBody(n Notification) ([]byte, error) {
	block := map[string]any{"type": "TextBlock", "text": n.Text(), "wrap": true}
	card := map[string]any{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": []any{block}}
	return json.Marshal(map[string]any{"type": "message", "attachments": []any{
		map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card},
	}})
}
