package objectstore

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	RunEndpoint()
	os.Exit(m.Run())
}
