package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// An Item is one record of UpsertMany.
type Item[T any] struct {
	Key Key
	// Seq is the source's version of Value, 0 if the source has none.
	Seq   int64
	Value T
}

// An ItemResult is what came of one record of UpsertMany: either a Result or why
// there is none.
type ItemResult struct {
	Result
	Err error
}

// manyClaims is how many keys are claimed at once. A claim that is won holds while
// those before it are written, so not more.
const manyClaims = 200

// UpsertMany is Upsert for each of the items; the results come in their order. Where
// the store is a BatchStore it claims 200 at a time in one round trip, and of what is
// unchanged, most of a re-run, that is all that happens. What is to be written is
// written one after the other, in the order of the items; call UpsertMany from
// several goroutines to write more at once. An item that fails stops no other; when
// ctx ends, the rest fail with its error.
func (u *Upserter[T]) UpsertMany(ctx context.Context, items []Item[T]) []ItemResult {
	results := make([]ItemResult, len(items))
	batches, ok := u.config.Store.(BatchStore)
	if !ok {
		for i, it := range items {
			results[i].Result, results[i].Err = u.Upsert(ctx, it.Key, it.Seq, it.Value)
		}
		return results
	}
	if err := u.changes(); err != nil {
		for i, it := range items {
			results[i].Err = fmt.Errorf("upsert %s: %w", it.Key, err)
		}
		return results
	}
	for from := 0; from < len(items); from += manyClaims {
		to := min(from+manyClaims, len(items))
		u.upsertBatch(ctx, batches, items[from:to], results[from:to])
	}
	return results
}

// upsertBatch claims the items together and then deals with one after the other.
func (u *Upserter[T]) upsertBatch(ctx context.Context, store BatchStore, items []Item[T], results []ItemResult) {
	payloads := make([]payload[T], len(items))
	requests := make([]ClaimRequest, 0, len(items))
	place := make([]int, len(items)) // in requests, -1 for none
	taken := make(map[Key]bool, len(items))
	for i, it := range items {
		place[i] = -1
		if payloads[i], results[i].Err = u.prepare(Record, it.Key, it.Seq, it.Value); results[i].Err == nil && !taken[it.Key] {
			taken[it.Key] = true
			place[i] = len(requests)
			requests = append(requests, u.request(it.Key, payloads[i]))
		}
	}
	asked := time.Now()
	claims, err := store.ClaimMany(ctx, requests)
	if err == nil && len(claims) != len(requests) {
		err = fmt.Errorf("the store answered %d claims of %d", len(claims), len(requests))
	}
	for i, it := range items {
		refused := results[i].Err
		results[i].Result, results[i].Err = u.observed(ctx, "upsert", it.Key, func(ctx context.Context) (Result, error) {
			switch {
			case refused != nil:
				return Result{}, refused
			case err != nil:
				return Result{}, asLedger("claim", err)
			case place[i] < 0: // its key came before in this batch
				return u.rounds(ctx, it.Key, payloads[i])
			}
			return u.waited(ctx, claims[place[i]], payloads[i], asked)
		})
	}
}

// waited deals with a claim of a batch, which may have waited for those before it.
func (u *Upserter[T]) waited(ctx context.Context, c Claim, p payload[T], asked time.Time) (Result, error) {
	if c.Verdict == Won {
		if err := ctx.Err(); err != nil {
			return Result{}, err // nothing is sent; the lease ends by itself
		}
		if time.Since(asked) > u.config.Lease/3 {
			asked = time.Now()
			if err := u.config.Store.Renew(ctx, c.Key, c.Fence, u.config.Lease); err != nil {
				return u.rounds(ctx, c.Key, p) // it took too long; as if it had not been claimed
			}
		}
	}
	res, err := u.claimed(ctx, c, p, asked)
	if errors.Is(err, errOther) {
		return u.rounds(ctx, c.Key, p)
	}
	return res, err
}
