package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// directory is where the state of all parties lives, held by one run at a time.
// The operating system lets go of it when the process ends, however it ends.
type directory struct {
	path      string
	temporary bool
	mark      *sql.DB
}

// hold takes the directory for one run, and remembers which sync it is for. Two
// runs at once would deliver the store's webhooks twice and move one clock from
// two sides.
func hold(ctx context.Context, o options) (_ *directory, err error) {
	d := &directory{path: o.dir, temporary: o.dir == ""}
	if d.temporary {
		d.path, err = os.MkdirTemp("", "storeaccounting-")
	} else {
		err = os.MkdirAll(d.path, 0o750)
	}
	if err != nil {
		return nil, fmt.Errorf("make the directory for the state: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: filepath.Join(d.path, "run.db")}).EscapedPath() + "?_pragma=busy_timeout(0)&_pragma=locking_mode(EXCLUSIVE)"
	if d.mark, err = sql.Open("sqlite", dsn); err != nil {
		return nil, errors.Join(err, d.leave())
	}
	d.mark.SetMaxOpenConns(1) // the lock is the connection's
	if err := d.claim(ctx, syncName(o)); err != nil {
		return nil, errors.Join(err, d.leave())
	}
	return d, nil
}

func syncName(o options) string {
	if o.naive {
		return "the naive sync"
	}
	return "Dovetail"
}

// claim writes which sync the directory is for. With the exclusive locking mode
// the lock of that write is kept until the file is closed.
func (d *directory) claim(ctx context.Context, name string) error {
	_, err := d.mark.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS run (sync TEXT PRIMARY KEY); INSERT INTO run SELECT ? WHERE NOT EXISTS (SELECT 1 FROM run); UPDATE run SET sync = sync`, name)
	if codeOf(err) == sqlite3.SQLITE_BUSY {
		return fmt.Errorf("another run uses the directory %s: wait for it, stop it, or name another with -dir", d.path)
	}
	if err != nil {
		return fmt.Errorf("open the directory %s: %w", d.path, err)
	}
	var of string
	if err := d.mark.QueryRowContext(ctx, `SELECT sync FROM run`).Scan(&of); err != nil {
		return fmt.Errorf("open the directory %s: %w", d.path, err)
	}
	if of != name {
		return fmt.Errorf("the directory %s holds a story of %s, so %s would be blamed for what that did: name another with -dir", d.path, of, name)
	}
	return nil
}

// leave lets other runs in, and removes a temporary directory.
func (d *directory) leave() error {
	var err error
	if d.mark != nil {
		err = d.mark.Close()
	}
	if d.temporary {
		err = errors.Join(err, os.RemoveAll(d.path))
	}
	return err
}

func codeOf(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff // the rest says more than is asked
	}
	return 0
}

// explain adds to an error what the person can do about it.
func explain(err error, o options) error {
	where := o.dir
	if where == "" {
		where = os.TempDir()
	}
	code := codeOf(err)
	switch {
	case errors.Is(err, context.Canceled) && o.dir == "":
		return errors.New("stopped; its state was in a temporary directory and is gone. With -dir DIR a story goes on where it was stopped")
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("stopped; run it again with -dir %s and the story goes on where it was", o.dir)
	case errors.Is(err, syscall.ENOSPC), code == sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w\nno space is left for the state of the story in %s: free about 100 MB there, or name a directory on another disk with -dir", err, where)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist),
		code == sqlite3.SQLITE_READONLY, code == sqlite3.SQLITE_CANTOPEN, code == sqlite3.SQLITE_PERM:
		return fmt.Errorf("%w\nthe state of the story cannot be written in %s: name a directory that you may write to with -dir", err, where)
	}
	return err
}
