package sqlstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// migrationFiles are plain SQL, numbered, forward only, one folder per dialect.
//
//go:embed migrations
var migrationFiles embed.FS

// ErrSchema is returned by Verify when the tables are not those that this code
// needs.
var ErrSchema = errors.New("sqlstore: the schema is not up to date")

// ErrSettings is returned by Verify when a setting of the database voids a
// promise.
var ErrSettings = errors.New("sqlstore: a database setting voids a promise")

// A migration is one numbered file.
type migration struct {
	number int
	name   string
	sql    string
}

// migrations returns the dialect's migrations in order.
func (d Dialect) migrations() ([]migration, error) {
	dir := path.Join("migrations", d.base.migrations)
	files, err := fs.ReadDir(migrationFiles, dir)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: migrations of %s: %w", d.Name, err)
	}
	var list []migration
	for _, f := range files {
		digits, _, _ := strings.Cut(f.Name(), "_")
		number, err := strconv.Atoi(digits)
		if err != nil || !strings.HasSuffix(f.Name(), ".up.sql") {
			return nil, fmt.Errorf("sqlstore: migration %s: not a name like 0002_dead_letters.up.sql", f.Name())
		}
		text, err := fs.ReadFile(migrationFiles, path.Join(dir, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("sqlstore: migration %s: %w", f.Name(), err)
		}
		list = append(list, migration{number: number, name: f.Name(), sql: string(text)})
	}
	slices.SortFunc(list, func(a, b migration) int { return a.number - b.number })
	return list, nil
}

// Migrate makes or extends the tables: it runs the numbered files that the table
// dovetail_migration does not list yet, each in a transaction of its own where the
// database has that for tables. It may be called at every start and by several
// processes at once. It never removes anything, and refuses nothing that a later
// version has added.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.ready(); err != nil {
		return err
	}
	list, err := s.dialect.migrations()
	if err != nil {
		return err
	}
	err = s.update(ctx, func(x *session) error {
		tx := x.tx // each statement of a migration runs once
		_, err := tx.ExecContext(ctx, s.dialect.base.createMigrations)
		return err
	})
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	apply := s.dialect.base.apply
	if apply == nil {
		apply = applyTogether
	}
	for _, m := range list {
		if err := apply(ctx, s, m); err != nil {
			return fmt.Errorf("sqlstore: migrate %s: %w", m.name, err)
		}
	}
	return nil
}

// applyTogether runs m unless it is recorded already; the record and the change
// commit together.
func applyTogether(ctx context.Context, s *Store, m migration) error {
	return s.update(ctx, func(x *session) error {
		tx := x.tx // each statement of a migration runs once
		// The record comes first: it takes the write lock, so that of two
		// processes one waits and then sees that the work is done.
		res, err := tx.ExecContext(ctx, s.dialect.base.recordMigration, m.number, m.name, s.clock())
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, m.sql)
		return err
	})
}

// Verify returns nil when the tables are those this code needs and the settings
// of the database void no promise. It changes nothing. The error wraps ErrSchema
// or ErrSettings and says what to do.
func (s *Store) Verify(ctx context.Context) error {
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.verifySchema(ctx); err != nil {
		return err
	}
	var wrong []string
	for _, set := range s.dialect.base.settings {
		var value string
		if err := s.db.QueryRowContext(ctx, set.query).Scan(&value); err != nil {
			return fmt.Errorf("sqlstore: verify: %s: %w", set.name, err)
		}
		if !set.ok(value) {
			wrong = append(wrong, fmt.Sprintf("%s is %s; %s", set.name, value, set.fix))
		}
	}
	if wrong != nil {
		return fmt.Errorf("%w: %s", ErrSettings, strings.Join(wrong, "; "))
	}
	return nil
}

func (s *Store) verifySchema(ctx context.Context) error {
	list, err := s.dialect.migrations()
	if err != nil {
		return err
	}
	rows, err := s.db.QueryContext(ctx, s.dialect.base.listMigrations)
	if err != nil {
		return fmt.Errorf("%w: no table dovetail_migration (%w); call Migrate", ErrSchema, err)
	}
	defer func() { _ = rows.Close() }() // rows.Err is checked below
	applied := map[int]bool{}
	for rows.Next() {
		var number int
		if err := rows.Scan(&number); err != nil {
			return fmt.Errorf("sqlstore: verify: %w", err)
		}
		applied[number] = true
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("sqlstore: verify: %w", err)
	}
	var missing []string
	for _, m := range list {
		if !applied[m.number] {
			missing = append(missing, m.name)
		}
	}
	if missing != nil {
		return fmt.Errorf("%w: not applied: %s; call Migrate", ErrSchema, strings.Join(missing, ", "))
	}
	return nil
}
