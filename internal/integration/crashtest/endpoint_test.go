package crashtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tectari/dovetail"
	datasync "github.com/tectari/dovetail/sync"
)

type customer struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Phone string `json:"phone"`
	Tax   string `json:"tax"`
}

type invoice struct {
	Number   string `json:"number"`
	Customer string `json:"customer"`
	Total    string `json:"total"`
}

// source is an endpoint that can be read and updated.
type source[T any] struct {
	client *http.Client
	base   string
	system dovetail.System
	path   string
}

// keyed is one that creates, with idempotency keys.
type keyed[T any] struct{ source[T] }

// searched is one that creates without, and can be searched by e-mail.
type searched[T any] struct{ keyed[T] }

type wire[T any] struct {
	ID      string    `json:"id"`
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Record  T         `json:"record"`
}

func (w wire[T]) observation() datasync.Observation[T] {
	return datasync.Observation[T]{ID: w.ID, Version: strconv.Itoa(w.Version), Record: w.Record, At: w.At, By: w.By}
}

func (e source[T]) call(ctx context.Context, method, path string, header http.Header, body, into any) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, e.base+"/"+path, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	maps.Copy(r.Header, header)
	fault := func(class dovetail.Class, err error) error {
		return &dovetail.Error{Fault: class, Op: method + " /" + e.path, Ref: dovetail.Ref{System: e.system}, Err: err}
	}
	res, err := e.client.Do(r)
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return fault(dovetail.Unavailable, err)
	case err != nil && method != http.MethodGet:
		return fault(dovetail.InDoubt, err)
	case err != nil:
		return fault(dovetail.Transient, err)
	}
	defer res.Body.Close()
	switch status := fmt.Errorf("status %d", res.StatusCode); res.StatusCode {
	case http.StatusOK, http.StatusCreated:
	case http.StatusNotFound:
		return fault(dovetail.NotFound, status)
	case http.StatusPreconditionFailed:
		return fault(dovetail.Conflict, status)
	default:
		return fault(dovetail.Invalid, status)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		if method == http.MethodGet {
			return fault(dovetail.Transient, err)
		}
		return fault(dovetail.InDoubt, err)
	}
	return nil
}

func (e source[T]) Get(ctx context.Context, id string) (datasync.Observation[T], error) {
	var d wire[T]
	err := e.call(ctx, http.MethodGet, e.path+"/"+id, nil, nil, &d)
	return d.observation(), err
}

func (e source[T]) list(ctx context.Context, query string) (p datasync.Page[T], next int, err error) {
	var f struct {
		Next    int       `json:"next"`
		Records []wire[T] `json:"records"`
	}
	err = e.call(ctx, http.MethodGet, e.path+"?"+query, nil, nil, &f)
	for _, d := range f.Records {
		p.Records = append(p.Records, d.observation())
	}
	return p, f.Next, err
}

func (e source[T]) Changes(ctx context.Context, cursor string) (datasync.Page[T], error) {
	p, next, err := e.list(ctx, "since="+cursor)
	p.Next = strconv.Itoa(next)
	return p, err
}

// fields returns the named fields of a record as the API spells them.
func fields[T any](record T, names []string) (map[string]string, error) {
	text, err := json.Marshal(record)
	if err != nil {
		return nil, err
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	some := make(map[string]string, len(names))
	for _, n := range names {
		some[n] = all[n]
	}
	return some, nil
}

func (e source[T]) Update(ctx context.Context, u datasync.Update[T]) (datasync.Observation[T], error) {
	var d wire[T]
	some, err := fields(u.Record, u.Fields)
	if err != nil {
		return d.observation(), err
	}
	err = e.call(ctx, http.MethodPatch, e.path+"/"+u.ID, http.Header{"If-Match": {u.Version}}, some, &d)
	return d.observation(), err
}

func (e keyed[T]) Create(ctx context.Context, c datasync.Create[T]) (datasync.Observation[T], error) {
	var d wire[T]
	some, err := fields(c.Record, c.Fields)
	if err != nil {
		return d.observation(), err
	}
	err = e.call(ctx, http.MethodPost, e.path, http.Header{"Idempotency-Key": {c.IdempotencyKey}}, some, &d)
	return d.observation(), err
}

// Find searches by e-mail, the one thing that the API can be searched by: that of
// a match, or that of the record whose create is in doubt.
func (e searched[T]) Find(ctx context.Context, q datasync.Query[T]) ([]datasync.Observation[T], error) {
	email := q.Value
	if q.Field == "" {
		some, err := fields(q.Record, []string{"email"})
		if err != nil {
			return nil, err
		}
		email = some["email"]
	}
	p, _, err := e.list(ctx, url.Values{"email": {email}}.Encode())
	return p.Records, err
}
