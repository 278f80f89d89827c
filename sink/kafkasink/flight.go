package kafkasink

import "sync"

// maxSettled bounds the records of which nobody asks any more.
const maxSettled = 1024

// An identity is what makes two attempts attempts of one message.
type identity struct{ topic, key, id string }

// A record is one that was handed to the client. Its err is set once done is
// closed.
type record struct {
	done chan struct{}
	err  error
}

func (r *record) settle(err error) {
	r.err = err
	close(r.done)
}

func (r *record) settled() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// A flight is what the client has and nobody has heard the outcome of. An attempt
// that ran out of time leaves its record there, and the next one waits for the
// same record instead of producing another.
type flight struct {
	mu      sync.Mutex
	records map[identity]*record
}

// join returns the record of a message, and whether it is the caller who must
// produce it.
func (f *flight) join(who identity) (r *record, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.records[who]; r != nil {
		return r, false
	}
	if len(f.records) >= maxSettled {
		// Messages that were discarded or went to another relay never come back.
		for other, r := range f.records {
			if r.settled() {
				delete(f.records, other)
			}
		}
	}
	r = &record{done: make(chan struct{})}
	f.records[who] = r
	return r, true
}

// forget removes a record whose outcome was heard.
func (f *flight) forget(who identity, r *record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.records[who] == r {
		delete(f.records, who)
	}
}
