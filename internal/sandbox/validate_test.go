package sandbox

import (
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/fault"
)

func TestAUserWhomNoSandboxHasIsRefused(t *testing.T) {
	for user, good := range map[string]bool{
		"": true, "root": true, "0": true, "65535": true, "1000:65535": true, "user200000": true,
		"65536": false, "200000": false, "0:65536": false, "root:70000": false, "4294967296": false, "99999999999999999999": false,
	} {
		err := CreateParams{User: user}.validate()
		if good != (err == nil) {
			t.Errorf("%q: %v", user, err)
		}
		if err != nil && (!fault.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), "65535")) {
			t.Errorf("%q: %v does not say what there is", user, err)
		}
	}
}
