package launch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/boot"
	"github.com/opendaytona/daytona/internal/toolbox/identity"
)

func TestAUserWhomNoSandboxHasIsToldInPlaceOfAnInvalidArgument(t *testing.T) {
	etc := t.TempDir()
	for name, text := range map[string]string{
		"passwd": "near:x:65535:65535::/:/bin/sh\nlate:x:200000:1000::/:/bin/sh\nmember:x:1001:1001::/:/bin/sh\n", "group": "wide:x:300000:member\n",
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for user, good := range map[string]bool{"near": true, "0": true, "late": false, "member": false, "0:wide": false} {
		_, err := New(boot.Config{User: user}, nil, identity.New(etc), nil).User()
		if good != (err == nil) || err != nil && !strings.Contains(err.Error(), "0 to 65535") {
			t.Errorf("%s: %v", user, err)
		}
	}
}
