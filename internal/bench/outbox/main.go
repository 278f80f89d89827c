// Command outbox measures our outbox beside its peers: the same work on the same
// server in the same run, in turns, medians, every delivery counted. It prints a
// table in Markdown for each server. docs/benchmarks.md says what the rows mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tectari/dovetail/internal/bench/outbox/contender"
	"github.com/tectari/dovetail/internal/bench/outbox/harness"
	"github.com/tectari/dovetail/internal/bench/outbox/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "outbox:", err)
		}
		stop()
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	servers, systems, measures []string
	rounds                     int
	sizes                      harness.Sizes
	dir                        string
	verbose, quick             bool
}

// parse reads the flags.
func parse(args []string, stderr io.Writer) (options, error) {
	o := options{servers: []string{"postgres", "mariadb", "sqlite"}, rounds: 5, sizes: harness.Full()}
	f := flag.NewFlagSet("outbox", flag.ContinueOnError)
	f.SetOutput(stderr)
	// -quick stands for other defaults, so it is looked for first.
	if slices.ContainsFunc(args, func(a string) bool { return a == "-quick" || a == "--quick" }) {
		// These two use all that an adapter consists of.
		o.rounds, o.sizes, o.measures = 1, harness.Quick(), []string{"drain", "endtoend"}
	}
	f.BoolVar(&o.quick, "quick", false, "one short round of drain and endtoend unless -measures says more, to see that everything works; its figures mean nothing")
	f.Func("databases", "which servers, by commas: postgres, mariadb, sqlite (default all)", words(&o.servers))
	f.Func("systems", `which systems, by commas, as the table names them: "Dovetail,River tuned,floor" (default all)`, words(&o.systems))
	f.Func("measures", "which measures, by commas: "+strings.Join(measureNames(), ", ")+" (default all)", words(&o.measures))
	f.IntVar(&o.rounds, "rounds", o.rounds, "how many rounds the medians are of")
	f.Func("drain", "how many events are drained, by commas (default 100000)", numbers(&o.sizes.Drain))
	depths := o.sizes.Depths[:]
	f.Func("depths", "the two backlogs that are compared, by a comma (default 10000,1000000)", numbers(&depths))
	f.Func("writers", "how many writers enqueue at once, by commas (default 8,16,32)", numbers(&o.sizes.Writers))
	f.DurationVar(&o.sizes.Window, "window", o.sizes.Window, "how long writers write")
	f.Int64Var(&o.sizes.Bulk, "bulk", o.sizes.Bulk, "how many events bulk enqueue stores")
	f.Int64Var(&o.sizes.Life, "life", o.sizes.Life, "how many events the log and the old transaction are measured on")
	f.Func("rates", "how many events a second while latency is measured, by commas (default 100,1000)", numbers(&o.sizes.Rates))
	f.DurationVar(&o.sizes.Load, "load", o.sizes.Load, "how long latency is measured")
	f.DurationVar(&o.sizes.Cap, "cap", o.sizes.Cap, "how long a drain may take; what was delivered by then is the rate")
	f.StringVar(&o.dir, "dir", "", "where SQLite's files go (default the directory for temporary files)")
	f.BoolVar(&o.verbose, "v", false, "tell of each measurement on stderr")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if len(depths) != 2 || len(o.sizes.Drain) == 0 || len(o.sizes.Writers) == 0 || len(o.sizes.Rates) == 0 || o.rounds < 1 {
		return o, errors.New("-depths needs two numbers, -drain, -writers and -rates one or more, -rounds at least 1")
	}
	o.sizes.Depths = [2]int64(depths)
	for _, name := range o.measures {
		if len(chosen(o.sizes, []string{name})) == 0 {
			return o, fmt.Errorf("unknown measure %q: %s", name, strings.Join(measureNames(), ", "))
		}
	}
	return o, nil
}

// words reads a list of words.
func words(into *[]string) func(string) error {
	return func(text string) error {
		*into = nil
		for w := range strings.SplitSeq(text, ",") {
			*into = append(*into, strings.TrimSpace(w))
		}
		return nil
	}
}

// numbers reads a list of numbers, each at least 1.
func numbers[T int | int64](into *[]T) func(string) error {
	return func(text string) error {
		*into = nil
		for w := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(w))
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number from 1 on", w)
			}
			*into = append(*into, T(n))
		}
		return nil
	}
}

// measureNames are the words for -measures.
func measureNames() []string {
	var names []string
	for _, m := range harness.Measures(harness.Full()) {
		names = append(names, m.Name)
	}
	return names
}

// chosen returns the measures named, all of them if none is.
func chosen(sizes harness.Sizes, names []string) []harness.Measure {
	all := harness.Measures(sizes)
	if len(names) == 0 {
		return all
	}
	var list []harness.Measure
	for _, m := range all {
		for _, name := range names {
			if m.Name == name {
				list = append(list, m)
			}
		}
	}
	return list
}

// run measures what args ask for and prints the tables.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	level := slog.LevelError
	if o.verbose {
		level = slog.LevelInfo
	}
	progress := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	var faults []error
	for _, name := range o.servers {
		contenders := contender.On(name, o.systems)
		if len(contenders) == 0 {
			faults = append(faults, fmt.Errorf("no system named %v on %q", o.systems, name))
			continue
		}
		s, err := open(ctx, name, o.dir, o.quick)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		begun := time.Now()
		table, err := harness.New(harness.Config{
			Server: s, Contenders: contenders, Measures: chosen(o.sizes, o.measures), Sizes: o.sizes, Rounds: o.rounds,
			Checkpoints: !o.quick, Progress: progress,
		}).Run(ctx)
		faults = append(faults, err, table.Markdown(stdout), s.Close())
		progress.Info("done", "server", name, "took", time.Since(begun))
	}
	return errors.Join(faults...)
}

// open connects to a server, where its variable says or where it usually is.
func open(ctx context.Context, name, dir string, hurry bool) (server.Server, error) {
	at := func(variable, usual string) string {
		if v := os.Getenv(variable); v != "" {
			return v
		}
		return usual
	}
	switch name {
	case "postgres":
		return server.OpenPostgres(ctx, at("DOVETAIL_POSTGRES_URL", server.DefaultPostgres), hurry)
	case "mariadb":
		return server.OpenMariaDB(ctx, at("DOVETAIL_MYSQL_DSN", server.DefaultMariaDB))
	case "sqlite":
		return server.OpenSQLite(ctx, dir, hurry)
	}
	return nil, fmt.Errorf("unknown server %q: postgres, mariadb or sqlite", name)
}
