package amqpsink

// SetMaxAside sets how many confirmations nobody may ask for.
func SetMaxAside(s *Sink, n int) { s.aside = n }
