package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/sandbox"
)

// The official clients' models take an object there and refuse null.
func TestASandboxWithoutVariablesHasAnEmptyEnvironment(t *testing.T) {
	text, err := json.Marshal(WireSandbox(&sandbox.Sandbox{}, ""))
	if err != nil || !strings.Contains(string(text), `"env":{}`) {
		t.Errorf("%s, %v", text, err)
	}
}
