package pty

// signal wakes everybody who waits for a change. Its owner's lock guards it.
type signal struct{ next chan struct{} }

// wait is closed at the next change.
func (s *signal) wait() <-chan struct{} {
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

func (s *signal) fire() {
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}
