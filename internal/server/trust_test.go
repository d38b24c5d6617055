package server

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestARegistryWithACertificateOfOnesOwnIsTrustedWhenAskedTo(t *testing.T) {
	hub := httptest.NewUnstartedServer(testRegistry())
	hub.Config.ErrorLog = log.New(io.Discard, "", 0) // of the clients that do not trust it
	hub.StartTLS()
	t.Cleanup(hub.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(hub.URL, "https://") + "/small:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, smallImage(t), remote.WithTransport(hub.Client().Transport)); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hub.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string]string{"": "error", ca: "active"} {
		s := start(t, testConfig(t, "--extra-ca", setting), testHost(newMemoryEngine(t, http.HandlerFunc(echo))))
		s.call("POST", "/api/snapshots", fmt.Sprintf(`{"name":"snap","imageName":%q}`, ref), 200)
		var got map[string]any
		s.eventually("the pull ends", func() bool {
			got = s.call("GET", "/api/snapshots/snap", "", 200)
			return got["state"] == "active" || got["state"] == "error"
		})
		if got["state"] != want || want == "error" && !strings.Contains(fmt.Sprint(got["errorReason"]), "--extra-ca") {
			t.Errorf("with %q: %v: %v", setting, got["state"], got["errorReason"])
		}
		s.stop()
	}
}
