package image

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// containerd 2.4 forgets a goroutine of a collection that is cancelled, which
	// happens here only when a store closes.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/containerd/containerd/v2/core/metadata.(*DB).getMarked.func1.1"))
}
