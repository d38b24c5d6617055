package lsp

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/opendaytona/daytona/internal/toolbox/launch/launchtest"
)

// The collector of exits is one for all tests.
func TestMain(m *testing.M) {
	launchtest.Processes()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
