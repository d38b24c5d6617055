package interpreter

import "testing"

// BenchmarkFirstRun makes a context and runs code in it.
func BenchmarkFirstRun(b *testing.B) {
	s := newSandbox(b)
	for b.Loop() {
		id := s.create("{}").ID
		s.prints("1\n", "print(1)", "contextId", id)
		b.StopTimer()
		s.call("DELETE", "/process/interpreter/context/"+id, "", 200)
		b.StartTimer()
	}
}

// BenchmarkRun runs code in a context that is there, each time by a new connection.
func BenchmarkRun(b *testing.B) {
	s := newSandbox(b)
	for b.Loop() {
		s.prints("1\n", "print(1)")
	}
}
