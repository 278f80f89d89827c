package dovetailtest

import (
	"context"
	"database/sql/driver"
	"io"
	"reflect"
)

// crashStmt is a prepared statement.
type crashStmt struct {
	conn  *crashConn
	query string
	raw   driver.Stmt
}

// Close closes the statement.
func (s *crashStmt) Close() error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if s.conn.closed {
		return nil
	}
	return s.raw.Close()
}

// NumInput returns how many parameters there are.
func (s *crashStmt) NumInput() int { return s.raw.NumInput() }

// Exec runs the statement.
func (s *crashStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query runs the query.
func (s *crashStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

// ExecContext runs the statement.
func (s *crashStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.exec(s.query, func() (driver.Result, error) {
		if e, ok := s.raw.(driver.StmtExecContext); ok {
			return e.ExecContext(ctx, args)
		}
		return s.raw.Exec(plain(args)) //nolint:staticcheck // the only way such a driver has
	})
}

// QueryContext runs the query.
func (s *crashStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.query(s.query, func() (driver.Rows, error) {
		if q, ok := s.raw.(driver.StmtQueryContext); ok {
			return q.QueryContext(ctx, args)
		}
		return s.raw.Query(plain(args)) //nolint:staticcheck // the only way such a driver has
	})
}

// CheckNamedValue leaves values to the driver, where it wants them.
func (s *crashStmt) CheckNamedValue(v *driver.NamedValue) error {
	switch raw := s.raw.(type) {
	case driver.NamedValueChecker:
		return raw.CheckNamedValue(v)
	case driver.ColumnConverter: //nolint:staticcheck // old drivers have it
		var err error
		v.Value, err = raw.ColumnConverter(v.Ordinal - 1).ConvertValue(v.Value)
		return err
	}
	return s.conn.CheckNamedValue(v)
}

func named(args []driver.Value) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, v := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return out
}

func plain(args []driver.NamedValue) []driver.Value {
	out := make([]driver.Value, len(args))
	for i, v := range args {
		out[i] = v.Value
	}
	return out
}

// crashRows is the result of a query.
type crashRows struct {
	conn  *crashConn
	raw   driver.Rows
	after func() error // of a query that is an effect
}

// Columns names the columns.
func (r *crashRows) Columns() []string { return r.raw.Columns() }

// Next reads a row.
func (r *crashRows) Next(dest []driver.Value) error {
	return r.conn.do(func() error { return r.raw.Next(dest) })
}

// Close ends the query.
func (r *crashRows) Close() error {
	err := r.conn.do(func() error {
		delete(r.conn.rows, r)
		return r.raw.Close()
	})
	if after := r.after; after != nil && err == nil {
		r.after = nil
		return after()
	}
	return err
}

// HasNextResultSet asks the driver, where it knows of several results.
func (r *crashRows) HasNextResultSet() bool {
	n, ok := r.raw.(driver.RowsNextResultSet)
	return ok && r.conn.do(func() error {
		if !n.HasNextResultSet() {
			return io.EOF
		}
		return nil
	}) == nil
}

// NextResultSet goes on to the next result.
func (r *crashRows) NextResultSet() error {
	n, ok := r.raw.(driver.RowsNextResultSet)
	if !ok {
		return io.EOF
	}
	return r.conn.do(n.NextResultSet)
}

// ColumnTypeScanType asks the driver.
func (r *crashRows) ColumnTypeScanType(i int) reflect.Type {
	if t, ok := r.raw.(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

// ColumnTypeDatabaseTypeName asks the driver.
func (r *crashRows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.raw.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

// ColumnTypeLength asks the driver.
func (r *crashRows) ColumnTypeLength(i int) (int64, bool) {
	if t, ok := r.raw.(driver.RowsColumnTypeLength); ok {
		return t.ColumnTypeLength(i)
	}
	return 0, false
}

// ColumnTypeNullable asks the driver.
func (r *crashRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t, ok := r.raw.(driver.RowsColumnTypeNullable); ok {
		return t.ColumnTypeNullable(i)
	}
	return false, false
}

// ColumnTypePrecisionScale asks the driver.
func (r *crashRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t, ok := r.raw.(driver.RowsColumnTypePrecisionScale); ok {
		return t.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
