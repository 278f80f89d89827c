package kafkasink

// InFlight returns how many records the sink remembers.
func InFlight(s *Sink) int {
	s.flight.mu.Lock()
	defer s.flight.mu.Unlock()
	return len(s.flight.records)
}
