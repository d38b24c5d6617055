package snapshot

// Config is what tests look behind a service with.
func (s *Service) Config() Config { return s.config }
