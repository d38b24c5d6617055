//go:build linux

package buildcontext

import (
	"os"
	"testing"

	"github.com/opendaytona/daytona/internal/objectstore"
)

func TestMain(m *testing.M) {
	objectstore.RunEndpoint()
	os.Exit(m.Run())
}
