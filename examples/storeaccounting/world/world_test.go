package world_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
	"github.com/tectari/dovetail/examples/storeaccounting/story"
	"github.com/tectari/dovetail/examples/storeaccounting/world"
)

// childDir, in the environment, makes the test binary run the story in that
// directory, so that a test can kill it.
const childDir = "STORY_TEST_DIR"

// Exit codes of the child.
const (
	finished = 0
	failed   = 1
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

func child(dir string) int {
	w, err := open(dir)
	if err == nil {
		err = w.Start("")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return failed
	}
	<-w.Done()
	if err := w.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return failed
	}
	return finished
}

func open(dir string) (*world.World, error) {
	return world.Open(context.Background(), world.Config{Dir: dir, Orders: history(), Speed: 4000, Seed: 7})
}

// history is 400 orders of 150 customers. Reading the sample would take longer
// than the child lives.
func history() []orders.Order {
	history := make([]orders.Order, 400)
	for i := range history {
		history[i] = orders.Order{
			ID: fmt.Sprintf("O-%03d", i), CustomerID: fmt.Sprintf("C-%03d", i*7%150), CustomerName: "Ann Lee", PlacedOn: "2016-01-02", Address: "Boston",
			Lines: []orders.Line{{RowID: "1", ProductID: "P", Product: "Pen", Quantity: 1, Amount: orders.Amount(i) * 1_234_567}},
		}
	}
	return history
}

// begin opens a world and makes all contacts beforehand, so that accounting's
// people have something to edit.
func begin(t *testing.T, dir string) {
	t.Helper()
	w, err := open(dir)
	require.NoError(t, err)
	known := make(map[string]bool)
	for _, o := range history() {
		c := o.Customer()
		if known[c.ID] {
			continue
		}
		known[c.ID] = true
		body, err := json.Marshal(map[string]string{"reference": c.ID, "name": c.Name, "phone": c.Phone})
		require.NoError(t, err)
		response, err := http.Post(w.AccountingURL()+"/contacts", "application/json", bytes.NewReader(body))
		if err == nil { // else the reply is lost, but the contact is there
			require.NoError(t, response.Body.Close())
		}
	}
	require.Equal(t, int64(len(known)), w.Stats().ContactsMade)
	require.NoError(t, w.Close())
}

// state returns everything both systems hold, without the times of day.
func state(t *testing.T, dir string) map[string][]map[string]any {
	t.Helper()
	w, err := open(dir)
	require.NoError(t, err)
	defer w.Close()
	all := make(map[string][]map[string]any)
	for _, url := range []string{
		w.StoreURL() + "/export/customers", w.StoreURL() + "/export/orders", w.StoreURL() + "/export/edits",
		w.AccountingURL() + "/export/contacts", w.AccountingURL() + "/export/edits",
	} {
		response, err := http.Get(url)
		require.NoError(t, err)
		var page struct{ Records []map[string]any }
		require.NoError(t, json.NewDecoder(response.Body).Decode(&page))
		require.NoError(t, response.Body.Close())
		require.NotEmpty(t, page.Records, url)
		for _, r := range page.Records {
			delete(r, "at")
			delete(r, "updated_at")
		}
		all[url[len(w.StoreURL()):]+fmt.Sprint(len(all))] = page.Records
	}
	return all
}

func run(t *testing.T, dir string, killAfter time.Duration) (exited bool) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childDir+"="+dir)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	require.NoError(t, command.Start())
	if killAfter > 0 {
		kill := time.AfterFunc(killAfter, func() {
			_ = command.Process.Kill() // it may have ended by itself
		})
		defer kill.Stop()
	}
	err := command.Wait()
	if command.ProcessState.Exited() {
		require.NoError(t, err, stderr.String())
	}
	return command.ProcessState.Exited()
}

func TestKilledAndResumedEndsTheSame(t *testing.T) {
	t.Parallel()
	whole, killed := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "killed")
	begin(t, whole)
	begin(t, killed)
	require.True(t, run(t, whole, 0))

	random := rand.New(rand.NewPCG(1, 2))
	kills := 0
	for !run(t, killed, time.Duration(150+random.IntN(200)+30*kills)*time.Millisecond) { // longer and longer, for slow machines
		kills++
		require.Less(t, kills, 60, "it gets no further")
	}
	require.GreaterOrEqual(t, kills, 2)
	require.Equal(t, state(t, whole), state(t, killed))

	before := state(t, whole)
	require.True(t, run(t, whole, 0))
	require.Equal(t, before, state(t, whole), "a story that is over stays as it is")
}

func TestAnotherStoryInTheSameDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := open(dir)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	_, err = world.Open(context.Background(), world.Config{Dir: dir, Seed: 7})
	require.ErrorContains(t, err, "another seed")
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := world.Open(context.Background(), world.Config{})
	require.ErrorContains(t, err, "Config.Dir")
	_, err = world.Open(context.Background(), world.Config{Dir: t.TempDir(), Speed: -1})
	require.ErrorContains(t, err, "Config.Speed")
	w, err := world.Open(context.Background(), world.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	require.ErrorContains(t, w.Start("http://127.0.0.1:1"), "Config.Secret")
	require.NoError(t, w.Close())
}

func TestOutageRefusesConnections(t *testing.T) {
	t.Parallel()
	w, err := world.Open(context.Background(), world.Config{Dir: t.TempDir(), Speed: 6000})
	require.NoError(t, err)
	require.NoError(t, w.Start(""))
	seen := map[string]bool{}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for now := time.Duration(0); now < story.OutageTo+time.Minute; now = w.Clock().Now() {
		time.Sleep(4 * time.Millisecond)
		response, err := client.Get(w.AccountingURL() + "/contacts")
		if err != nil {
			seen["refused"] = true
			continue
		}
		seen[response.Status] = true
		require.NoError(t, response.Body.Close())
	}
	for _, want := range []string{"200 OK", "refused", "503 Service Unavailable"} {
		require.True(t, seen[want], "%s in %v", want, seen)
	}
	require.NoError(t, w.Close())
}
