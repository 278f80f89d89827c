package storesim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
)

const (
	deliveryWorkers = 64
	deliveryPause   = 20 * time.Millisecond // wall time between looks at the queue
	deliveryTimeout = 5 * time.Second       // wall time that a receiver gets
	firstRetry      = 15_000                // story milliseconds
	deliveryGiveUp  = 10 * 60_000           // story milliseconds
)

func parseSecret(secret string) ([]byte, error) {
	if secret == "" {
		return nil, nil
	}
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) == 0 {
		return nil, errNoSecret
	}
	return key, nil
}

// announce queues the deliveries of an event, in the transaction of the change
// that it tells of: two of them, some late, or none. Which, depends on the
// event alone.
func (s *Server) announce(ctx context.Context, tx *sql.Tx, now int64, e Event) error {
	identity := fmt.Sprintf("%s %s %d", e.Type, e.ID, e.Version)
	chance := func(what string) int64 { return int64(server.Chance(s.seed, what, identity)) }
	if chance("webhook lost") < 200 {
		s.Count(WebhooksLost, 1)
		return nil
	}
	body, err := encodeEvent(e)
	if err != nil {
		return err
	}
	id := "evt_" + base64.RawURLEncoding.EncodeToString([]byte(identity))
	first := now + chance("webhook delay")/5 // up to 2 s
	if chance("webhook late") < 1500 {
		first += 6 * chance("webhook lateness") // up to a minute
	}
	second := first + 6*chance("webhook again")
	for again, due := range []int64{first, second} {
		if _, err := tx.ExecContext(ctx, insertDelivery, id, body, again, due, due); err != nil {
			return err
		}
	}
	return nil
}

// delivery is one call that the store owes the receiver.
type delivery struct {
	n          int64
	event      string
	body       string
	again      bool
	first      int64
	tries      int
	successful bool
}

// Deliver sends webhooks to url until ctx is done. One Deliver may run at a
// time. What is answered 2xx is sent again only if the process dies before it
// has written that down.
func (s *Server) Deliver(ctx context.Context, url string) error {
	client := &http.Client{
		Timeout:   deliveryTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: deliveryWorkers},
	}
	defer client.CloseIdleConnections()

	calls, answers := make(chan delivery, deliveryWorkers), make(chan delivery, deliveryWorkers)
	var workers sync.WaitGroup
	for range deliveryWorkers {
		workers.Go(func() {
			for d := range calls {
				d.successful = s.post(ctx, client, url, d)
				answers <- d
			}
		})
	}
	err := s.dispatch(ctx, calls, answers)
	close(calls)
	workers.Wait()
	close(answers)
	if err == nil {
		err = s.settle(context.WithoutCancel(ctx), answers)
	}
	if err != nil {
		return fmt.Errorf("deliver webhooks: %w", err)
	}
	return nil
}

// dispatch hands what is due to the workers and writes down what came of it.
// It never has more under way than there are workers, so that neither channel
// blocks.
func (s *Server) dispatch(ctx context.Context, calls chan<- delivery, answers chan delivery) error {
	underWay := make(map[int64]bool, deliveryWorkers)
	ticker := time.NewTicker(deliveryPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		settled := make(chan delivery, deliveryWorkers)
		for range len(answers) {
			d := <-answers
			delete(underWay, d.n)
			settled <- d
		}
		close(settled)
		if err := s.settle(context.WithoutCancel(ctx), settled); err != nil {
			return err
		}
		if len(underWay) == deliveryWorkers {
			continue
		}
		due, err := s.due(context.WithoutCancel(ctx), deliveryWorkers)
		if err != nil {
			return err
		}
		for _, d := range due {
			if !underWay[d.n] && len(underWay) < deliveryWorkers {
				underWay[d.n] = true
				calls <- d
			}
		}
	}
}

// Undelivered returns how many deliveries are still owed.
func (s *Server) Undelivered(ctx context.Context) (n int, err error) {
	err = s.QueryRowContext(ctx, `SELECT count(*) FROM deliveries`).Scan(&n)
	return n, err
}

// due returns the oldest deliveries whose time has come. The answer holds those
// under way too, at most n of them: therefore it is twice as long.
func (s *Server) due(ctx context.Context, n int) ([]delivery, error) {
	const query = `SELECT n, event, body, again, first, tries FROM deliveries WHERE due <= ? ORDER BY due LIMIT ?`
	rows, err := s.QueryContext(ctx, query, s.clock.Millis(), 2*n)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var due []delivery
	for rows.Next() {
		var d delivery
		if err := rows.Scan(&d.n, &d.event, &d.body, &d.again, &d.first, &d.tries); err != nil {
			return nil, err
		}
		due = append(due, d)
	}
	return due, rows.Err()
}

// post makes one call. A failure of any kind means that it is tried again.
func (s *Server) post(ctx context.Context, client *http.Client, url string, d delivery) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(d.body))
	if err != nil {
		return false
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("webhook-id", d.event)
	request.Header.Set("webhook-timestamp", timestamp)
	request.Header.Set("webhook-signature", "v1,"+s.sign(d.event, timestamp, d.body))
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 4<<10)) // so that the connection is used again
	return response.StatusCode/100 == 2
}

// sign is the signature of Standard Webhooks.
func (s *Server) sign(id, timestamp, body string) string {
	mac := hmac.New(sha256.New, s.secret)
	var signed bytes.Buffer
	fmt.Fprintf(&signed, "%s.%s.%s", id, timestamp, body)
	mac.Write(signed.Bytes())
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// settle removes what was delivered and puts off the rest.
func (s *Server) settle(ctx context.Context, answers <-chan delivery) error {
	if len(answers) == 0 {
		return nil
	}
	now := s.clock.Millis()
	return s.Tx(ctx, func(tx *sql.Tx) error {
		for d := range answers {
			if err := s.settleOne(ctx, tx, now, d); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Server) settleOne(ctx context.Context, tx *sql.Tx, now int64, d delivery) error {
	if !d.successful && now-d.first <= deliveryGiveUp {
		s.Count(WebhooksRetried, 1)
		const putOff = `UPDATE deliveries SET tries = tries + 1, due = ? WHERE n = ?`
		_, err := tx.ExecContext(ctx, putOff, now+firstRetry<<min(d.tries, 5), d.n)
		return err
	}
	switch {
	case !d.successful:
		s.Count(WebhooksGivenUp, 1)
	case d.again:
		s.Count(WebhooksTwice, 1)
		s.Count(WebhooksFired, 1)
	default:
		s.Count(WebhooksFired, 1)
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM deliveries WHERE n = ?`, d.n)
	return err
}
