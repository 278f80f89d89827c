package crashtest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What makes this binary the program under test instead of the test: the path of
// its database, and where the systems are.
const (
	childEnv = "DOVETAIL_CRASH_CHILD"
	shopEnv  = "DOVETAIL_CRASH_SHOP"
	booksEnv = "DOVETAIL_CRASH_BOOKS"
)

// child is the program in a process of its own. It ends when its parent does.
func child(path string) int {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the parent never writes; its end is the end
		stop()
	}()
	db, err := sql.Open("sqlite", dsnOf(path))
	if err == nil {
		var p *program
		p, err = newProgram(db, places{shop: http.DefaultClient, books: http.DefaultClient, shopURL: os.Getenv(shopEnv), booksURL: os.Getenv(booksEnv)})
		if err == nil {
			err = p.run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// killer keeps a child running, and kills it.
type killer struct {
	w           *world
	shop, books string
	rng         *rand.Rand
	cmd         *exec.Cmd
	stdin       io.Closer
	stderr      bytes.Buffer
	kills       int
}

func (k *killer) start() {
	if k.cmd != nil {
		return
	}
	k.cmd = exec.Command(os.Args[0])
	k.cmd.Env = append(os.Environ(), childEnv+"="+k.w.path, shopEnv+"="+k.shop, booksEnv+"="+k.books)
	k.cmd.Stderr = &k.stderr
	var err error
	k.stdin, err = k.cmd.StdinPipe()
	require.NoError(k.w.t, err)
	require.NoError(k.w.t, k.cmd.Start())
}

// kill sends SIGKILL: no deferred call runs, no buffer is flushed.
func (k *killer) kill() {
	require.NoError(k.w.t, k.cmd.Process.Kill())
	_ = k.cmd.Wait() // it was killed, and says so
	require.Empty(k.w.t, k.stderr.String())
	k.cmd = nil
	k.kills++
}

// storm kills the program at random moments: half of them right after a write
// reached a system, when the program is about to record it. A run lives longer
// than the lease of the one before it, or none would ever get to work.
func (k *killer) storm() {
	for i := range 11 {
		k.start()
		before := k.written()
		for range k.rng.IntN(200) {
			pause(lease / 100)
			if i%2 == 0 && k.written() != before {
				pause(time.Duration(k.rng.Int64N(int64(4 * time.Millisecond))))
				break
			}
		}
		k.kill()
	}
}

func (k *killer) written() int { return k.w.shop.written() + k.w.books.written() }

func pause(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
}

// TestSIGKILLAtRandomMoments is the story again with a real process, real HTTP
// over loopback and a real SIGKILL, at least 30 times.
func TestSIGKILLAtRandomMoments(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left out by -short, as it waits for some 20 seconds: run it without")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newWorld(t)
	shopServer, booksServer := httptest.NewServer(w.shop.mux), httptest.NewServer(w.books.mux)
	defer shopServer.Close()
	defer booksServer.Close()
	k := &killer{w: w, shop: shopServer.URL, books: booksServer.URL, rng: rand.New(rand.NewPCG(seed, 0))}
	w.keep, w.storm, w.patience = k.start, k.storm, 30
	w.story()
	k.kill()
	w.check()
	require.GreaterOrEqual(t, k.kills, 30)
	t.Logf("%d kills", k.kills)
}
