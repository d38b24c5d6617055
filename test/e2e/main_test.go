// Package e2e kills a real server program at many points and looks at what is
// left. It needs root.
package e2e

import (
	"os"
	"testing"

	"github.com/opendaytona/daytona/test/serve"
)

func TestMain(m *testing.M) { os.Exit(serve.Main(m)) }
