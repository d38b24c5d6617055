package lsp

import (
	"testing"

	"go.uber.org/goleak"
)

// The collector of exits is one for all tests.
func TestMain(m *testing.M) {
	procs()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
