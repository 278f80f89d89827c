// Package world puts the story together: the store, accounting, the clock, the
// people. It knows nothing of any sync.
//
// # Guarantees
//
// All state lives in one directory. The process may be killed at any moment
// and started again on it: the story goes on where it was, and each scripted
// action happens once, because its marker is committed with its effect. When
// the story is over, a further run adds nothing to it.
package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/tectari/dovetail/examples/storeaccounting/acctsim"
	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/server"
	"github.com/tectari/dovetail/examples/storeaccounting/storesim"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
)

// Config says how a world is set up.
type Config struct {
	Dir    string         // where its state lives; created when missing. Required.
	Orders []orders.Order // the history that is replayed. Required when the story begins; must stay the same after.
	Speed  float64        // story seconds per wall second. Defaults to story.DefaultSpeed.
	Seed   uint64         // decides people and faults; must stay the same in one Dir. Zero is a seed like any other.
	Secret string         // signs the webhooks, "whsec_" and base64. Required when Start gets a URL.
}

// World is the two systems and what happens in them. It may be used by many
// goroutines.
type World struct {
	clock      *story.Clock
	store      *storesim.Server
	accounting *acctsim.Server
	storeUp    *server.Listener
	acctUp     *server.Listener
	script     script
	secret     string

	stop    context.CancelFunc
	running sync.WaitGroup
	done    chan struct{}

	failed chan struct{}

	mu  sync.Mutex
	err error // why the story stopped, if it did
}

// Open opens the world in config.Dir, or begins a new one. Its servers answer,
// but its clock stands still until Start.
func Open(ctx context.Context, config Config) (_ *World, err error) {
	if config.Dir == "" {
		return nil, errors.New("open world: Config.Dir: required")
	}
	if config.Speed == 0 {
		config.Speed = story.DefaultSpeed
	}
	if config.Speed < 0 {
		return nil, errors.New("open world: Config.Speed: must be above 0")
	}
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open world: %w", err)
	}
	w := &World{clock: story.NewClock(0, config.Speed), secret: config.Secret, done: make(chan struct{}), failed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open world in %s: %w", config.Dir, err), w.Close())
		}
	}()
	w.store, err = storesim.Open(ctx, storesim.Config{
		Path: filepath.Join(config.Dir, "store.db"), Clock: w.clock, Seed: config.Seed, Secret: config.Secret,
	})
	if err != nil {
		return nil, err
	}
	w.accounting, err = acctsim.Open(ctx, acctsim.Config{
		Path: filepath.Join(config.Dir, "accounting.db"), Clock: w.clock, Seed: config.Seed,
	})
	if err != nil {
		return nil, err
	}
	if err := w.resume(ctx, config); err != nil {
		return nil, err
	}
	if w.storeUp, err = server.Listen(w.store.Handler()); err != nil {
		return nil, err
	}
	w.acctUp, err = server.Listen(w.accounting.Handler())
	return w, err
}

// resume finds out how far the story is.
func (w *World) resume(ctx context.Context, config Config) error {
	actions := story.Script(config.Orders, config.Seed)
	known, err := w.store.Meta(ctx, "script")
	if err != nil {
		return err
	}
	print := story.Fingerprint(actions)
	if known == "" {
		err = w.store.SetMeta(ctx, "script", print)
	} else if known != print {
		err = errors.New("the directory holds a story with other orders or another seed; use the same ones, or another directory")
	}
	if err != nil {
		return err
	}
	if w.script, err = pending(ctx, actions, w.store, w.accounting); err != nil {
		return err
	}
	at, err := w.latest(ctx)
	w.clock.Set(at)
	return err
}

// latest returns the latest story time that anything here remembers.
func (w *World) latest(ctx context.Context) (time.Duration, error) {
	saved, err := w.store.Meta(ctx, "clock")
	if err != nil {
		return 0, err
	}
	at, _ := strconv.ParseInt(saved, 10, 64) // "" when the story has not begun
	for _, touched := range []func(context.Context) (int64, error){w.store.LastTouched, w.accounting.LastTouched} {
		t, err := touched(ctx)
		if err != nil {
			return 0, err
		}
		at = max(at, t)
	}
	return time.Duration(at) * time.Millisecond, nil
}

// StoreURL returns the address of the store's API.
func (w *World) StoreURL() string { return w.storeUp.URL() }

// AccountingURL returns the address of accounting's API.
func (w *World) AccountingURL() string { return w.acctUp.URL() }

// Clock returns the story's clock.
func (w *World) Clock() *story.Clock { return w.clock }

// Done is closed when the story is over: every action has happened and the
// story clock has passed story.End. Servers and webhooks go on until Close.
func (w *World) Done() <-chan struct{} { return w.done }

// Failed is closed when the story cannot go on; Err says why.
func (w *World) Failed() <-chan struct{} { return w.failed }

// Err returns why the story stopped before its end, or nil.
func (w *World) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Start makes the story run, with webhooks to the given URL ("" for none). It
// is called once.
func (w *World) Start(webhookURL string) error {
	if webhookURL != "" && w.secret == "" {
		return errors.New("start world: Config.Secret: required to send webhooks")
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.clock.Start()
	w.run(func() error { return w.tell(ctx) })
	w.run(func() error { return w.keep(ctx) })
	if webhookURL != "" {
		w.run(func() error { return w.store.Deliver(ctx, webhookURL) })
	}
	return nil
}

func (w *World) run(part func() error) {
	w.running.Go(func() {
		if err := part(); err != nil {
			w.mu.Lock()
			if w.err == nil {
				close(w.failed)
			}
			w.err = errors.Join(w.err, err)
			w.mu.Unlock()
		}
	})
}

// Close stops the story where it is. It returns what stopped it before, if
// anything did.
func (w *World) Close() error {
	if w.stop != nil {
		w.stop()
	}
	w.running.Wait()
	errs := []error{w.Err()}
	for _, l := range []*server.Listener{w.storeUp, w.acctUp} {
		if l != nil {
			errs = append(errs, l.Down())
		}
	}
	if w.store != nil && w.accounting != nil {
		errs = append(errs, w.save(context.Background()))
	}
	if w.store != nil {
		errs = append(errs, w.store.Close())
	}
	if w.accounting != nil {
		errs = append(errs, w.accounting.Close())
	}
	return errors.Join(errs...)
}
