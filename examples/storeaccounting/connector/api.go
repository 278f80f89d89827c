package connector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tectari/dovetail"
	"github.com/tectari/dovetail/retry"
	datasync "github.com/tectari/dovetail/sync"
)

// api is one system's HTTP API: a base URL and a client that knows its limits.
type api struct {
	system dovetail.System
	base   string
	client *http.Client
}

// feed is how both systems answer a list, a search or a change feed. Its records
// are decoded one by one: one that is no good must not take the others with it.
type feed struct {
	Records []json.RawMessage `json:"records"`
	Next    string            `json:"next"`
	More    bool              `json:"more"`
}

func get[R any](ctx context.Context, a api, path string, query url.Values) (R, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return send[R](ctx, a, http.MethodGet, path, nil, nil)
}

// send makes one call. Errors come classified from package retry, which read the
// status, Retry-After and the problem+json body.
func send[R any](ctx context.Context, a api, method, path string, header http.Header, body any) (R, error) {
	var none R
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return none, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(payload))
	if err != nil {
		return none, fmt.Errorf("%s %s: %w", method, path, err)
	}
	maps.Copy(req.Header, header)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return retry.JSON[R](a.client, req)
}

// changes reads one page of a change feed.
func changes[R, T any](ctx context.Context, a api, path, cursor string, show func(R) (datasync.Observation[T], error)) (datasync.Page[T], error) {
	f, err := get[feed](ctx, a, path, url.Values{"since": {cursor}, "limit": {"250"}})
	return pageOf(f, err, show)
}

// list reads one page of a list.
func list[R, T any](ctx context.Context, a api, path, cursor string, show func(R) (datasync.Observation[T], error)) (datasync.Page[T], error) {
	f, err := get[feed](ctx, a, path, url.Values{"cursor": {cursor}, "limit": {"250"}})
	return pageOf(f, err, show)
}

func pageOf[R, T any](f feed, err error, show func(R) (datasync.Observation[T], error)) (datasync.Page[T], error) {
	var p datasync.Page[T]
	if err != nil {
		return p, err
	}
	p.Next, p.More = f.Next, f.More
	for _, r := range f.Records {
		p.Records = append(p.Records, observe(r, show))
	}
	return p, nil
}

// observe decodes one record of a page. One that cannot be read says so, with its
// ID where that at least can be.
func observe[R, T any](raw json.RawMessage, show func(R) (datasync.Observation[T], error)) datasync.Observation[T] {
	var r R
	if err := json.Unmarshal(raw, &r); err != nil {
		var known struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(raw, &known) // what is wrong with the record is said by err
		return datasync.Observation[T]{ID: known.ID, Err: dovetail.NewError(dovetail.Invalid, "decode the record", "%w", err)}
	}
	o, err := show(r)
	o.Err = err
	return o
}

// ifMatch is the condition of an update: the version it was computed from.
func ifMatch(version string) http.Header {
	h := http.Header{}
	if version != "" {
		h.Set("If-Match", strconv.Quote(version))
	}
	return h
}

// money reads a decimal string; "" is null.
func money(text, field string) (dovetail.Value, error) {
	if text == "" {
		return dovetail.Null(), nil
	}
	v, err := dovetail.Decimal(text)
	if err != nil {
		return v, &dovetail.Error{Fault: dovetail.Invalid, Op: "read an amount", Field: field, Err: err}
	}
	return v, nil
}

// cents writes an amount as both systems do, with two decimals; "" for null.
func cents(v dovetail.Value) string {
	n, ok := v.Scaled(2)
	if !ok {
		return v.Text()
	}
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}
