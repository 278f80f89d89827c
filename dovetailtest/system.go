package dovetailtest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tectari/dovetail"
	datasync "github.com/tectari/dovetail/sync"
)

// A System is a business system in memory, for tests and first tries: it keeps
// records of type T by ID, tells what changed, takes conditional writes, honours
// idempotency keys for ever and can be searched by them. It can be taken down
// and made to lose replies. Make one with NewSystem; it is safe for concurrent
// use and is a complete datasync.Endpoint.
type System[T any] struct {
	name dovetail.System

	mu      sync.Mutex
	records map[string]*record[T]
	made    map[string]string // idempotency key → ID
	log     []string          // IDs in the order of change
	next    int
	writes  int
	down    bool
	lose    int
}

type record[T any] struct {
	value   T
	key     string
	version int
	deleted bool
	at      time.Time
	by      string
}

// NewSystem returns an empty system.
func NewSystem[T any](name dovetail.System) *System[T] {
	return &System[T]{name: name, records: make(map[string]*record[T]), made: make(map[string]string)}
}

// Capabilities is what the system's API can do.
func (s *System[T]) Capabilities() datasync.Capabilities {
	return datasync.Capabilities{KeyWindow: 1000 * time.Hour, ConditionalWrite: true, StoresKey: true, RequestLife: time.Second}
}

// Put is a person (by) making a record, or replacing all of it.
func (s *System[T]) Put(id, by string, value T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		r = &record[T]{}
		s.records[id] = r
	}
	r.value, r.deleted = value, false
	s.touch(id, r, by)
}

// Edit is a person (by) changing a record. It reports whether there is one.
func (s *System[T]) Edit(id, by string, change func(*T)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok || r.deleted {
		return false
	}
	change(&r.value)
	s.touch(id, r, by)
	return true
}

// Remove is a person deleting a record.
func (s *System[T]) Remove(id, by string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.records[id]; ok {
		r.deleted = true
		s.touch(id, r, by)
	}
}

// Down takes the system down (every call fails as Unavailable) or up again.
func (s *System[T]) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// LoseReplies makes the next n writes happen and their replies get lost.
func (s *System[T]) LoseReplies(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = n
}

// Writes counts the writes that the API carried out.
func (s *System[T]) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// All returns the records by ID.
func (s *System[T]) All() map[string]T {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]T)
	for id, r := range s.records {
		if !r.deleted {
			all[id] = r.value
		}
	}
	return all
}

// touch moves the record's version; the caller holds the lock.
func (s *System[T]) touch(id string, r *record[T], by string) {
	r.version++
	r.at, r.by = time.Now(), by
	s.log = append(s.log, id)
}

func (s *System[T]) fault(class dovetail.Class, op, id, why string) error {
	return &dovetail.Error{Fault: class, Op: op, Ref: dovetail.Ref{System: s.name, ID: id}, Err: fmt.Errorf("%s", why)}
}

// up begins a call; the caller holds the lock.
func (s *System[T]) up(op, id string) error {
	if s.down {
		return s.fault(dovetail.Unavailable, op, id, "the system is down")
	}
	return nil
}

// reply ends a write; the caller holds the lock.
func (s *System[T]) reply(op, id string) error {
	s.writes++
	if s.lose > 0 {
		s.lose--
		return s.fault(dovetail.InDoubt, op, id, "the reply was lost")
	}
	return nil
}

func (s *System[T]) show(id string, r *record[T]) datasync.Observation[T] {
	return datasync.Observation[T]{ID: id, Version: strconv.Itoa(r.version), Key: r.key, Record: r.value, At: r.at, By: r.by, Deleted: r.deleted}
}

// Get reads one record.
func (s *System[T]) Get(_ context.Context, id string) (datasync.Observation[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.up("get", id); err != nil {
		return datasync.Observation[T]{}, err
	}
	r, ok := s.records[id]
	if !ok || r.deleted {
		return datasync.Observation[T]{}, s.fault(dovetail.NotFound, "get", id, "no such record")
	}
	return s.show(id, r), nil
}

// Changes tells what changed since a cursor, in pages of 100.
func (s *System[T]) Changes(_ context.Context, cursor string) (datasync.Page[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p datasync.Page[T]
	if err := s.up("read changes", ""); err != nil {
		return p, err
	}
	from := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 0 || n > len(s.log) {
			return p, s.fault(dovetail.Invalid, "read changes", "", "unknown cursor")
		}
		from = n
	}
	to := min(len(s.log), from+100)
	seen := make(map[string]bool)
	for _, id := range s.log[from:to] {
		if !seen[id] {
			seen[id] = true
			p.Records = append(p.Records, s.show(id, s.records[id]))
		}
	}
	p.Next, p.More = strconv.Itoa(to), to < len(s.log)
	return p, nil
}

// List lists every record in byte order of ID, in pages of 100.
func (s *System[T]) List(_ context.Context, cursor string) (datasync.Page[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p datasync.Page[T]
	if err := s.up("list", ""); err != nil {
		return p, err
	}
	var ids []string
	for id, r := range s.records {
		if id > cursor && !r.deleted {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	const size = 100
	p.More = len(ids) > size
	for _, id := range ids[:min(size, len(ids))] {
		p.Records = append(p.Records, s.show(id, s.records[id]))
		p.Next = id
	}
	return p, nil
}

// Create makes a record, or returns the one that the idempotency key made.
func (s *System[T]) Create(_ context.Context, c datasync.Create[T]) (datasync.Observation[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.up("create", ""); err != nil {
		return datasync.Observation[T]{}, err
	}
	if id, ok := s.made[c.IdempotencyKey]; ok && c.IdempotencyKey != "" {
		return s.show(id, s.records[id]), nil
	}
	s.next++
	id := fmt.Sprintf("%s-%05d", s.name, s.next)
	r := &record[T]{value: c.Record, key: c.Key}
	s.records[id] = r
	s.made[c.IdempotencyKey] = id
	s.touch(id, r, "api")
	if err := s.reply("create", id); err != nil {
		return datasync.Observation[T]{}, err
	}
	return s.show(id, r), nil
}

// Update changes the named fields of a record, if the version still stands.
func (s *System[T]) Update(_ context.Context, u datasync.Update[T]) (datasync.Observation[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.up("update", u.ID); err != nil {
		return datasync.Observation[T]{}, err
	}
	r, ok := s.records[u.ID]
	switch {
	case !ok || r.deleted:
		return datasync.Observation[T]{}, s.fault(dovetail.NotFound, "update", u.ID, "no such record")
	case u.Version != "" && u.Version != strconv.Itoa(r.version):
		return datasync.Observation[T]{}, s.fault(dovetail.Conflict, "update", u.ID, "the version moved")
	}
	copyFields(&r.value, &u.Record, u.Fields)
	s.touch(u.ID, r, "api")
	if err := s.reply("update", u.ID); err != nil {
		return datasync.Observation[T]{}, err
	}
	return s.show(u.ID, r), nil
}

// Delete deletes a record.
func (s *System[T]) Delete(_ context.Context, id, version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.up("delete", id); err != nil {
		return err
	}
	r, ok := s.records[id]
	switch {
	case !ok || r.deleted:
		return s.fault(dovetail.NotFound, "delete", id, "no such record")
	case version != "" && version != strconv.Itoa(r.version):
		return s.fault(dovetail.Conflict, "delete", id, "the version moved")
	}
	r.deleted = true
	s.touch(id, r, "api")
	return s.reply("delete", id)
}

// Find searches by our key, or by the text of a field.
func (s *System[T]) Find(_ context.Context, q datasync.Query[T]) ([]datasync.Observation[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.up("find", ""); err != nil {
		return nil, err
	}
	var found []datasync.Observation[T]
	for id, r := range s.records {
		if r.deleted {
			continue
		}
		if q.Field == "" && r.key == q.Key || q.Field != "" && fieldText(&r.value, q.Field) == q.Value {
			found = append(found, s.show(id, r))
		}
	}
	slices.SortFunc(found, func(a, b datasync.Observation[T]) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}

// fieldOf returns the field of record (a pointer to a struct) with a json name.
func fieldOf(record any, name string) (reflect.Value, bool) {
	v := reflect.ValueOf(record).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name || tag == "" && f.Name == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func copyFields(to, from any, names []string) {
	for _, name := range names {
		dst, ok := fieldOf(to, name)
		src, _ := fieldOf(from, name)
		if ok {
			dst.Set(src)
		}
	}
}

func fieldText(record any, name string) string {
	f, ok := fieldOf(record, name)
	if !ok {
		return ""
	}
	if v, ok := reflect.TypeAssert[dovetail.Value](f); ok {
		return v.Text()
	}
	return fmt.Sprint(f.Interface())
}
