package sandbox

import (
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/secretbox"
)

func TestTheRecordBesideADiskHidesTheVariables(t *testing.T) {
	s := &Service{config: Config{Secrets: secretbox.NewKey()}}
	sb := &Sandbox{ID: "id", Name: "box", Env: map[string]string{"TOKEN": "s3cret"}}
	text := s.record(sb)
	if strings.Contains(string(text), "s3cret") || strings.Contains(string(text), "TOKEN") {
		t.Errorf("it shows them: %s", text)
	}
	if got, err := ParseRecord(text, s.config.Secrets); err != nil || got.Name != "box" || got.Env["TOKEN"] != "s3cret" || got.EnvLost {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := ParseRecord(text, nil); err != nil || got.Name != "box" || got.Env != nil || got.EnvLost {
		t.Errorf("without the key: %+v, %v", got, err)
	}
	if got, err := ParseRecord(text, secretbox.NewKey()); err != nil || got.Name != "box" || len(got.Env) != 0 || !got.EnvLost {
		t.Errorf("with another key: %+v, %v", got, err)
	}
	if got, err := ParseRecord([]byte(`{"ID":"id","Name":"box","Env":{"TOKEN":"s3cret"}}`), s.config.Secrets); err != nil || got.Env["TOKEN"] != "s3cret" {
		t.Errorf("of an earlier version: %+v, %v", got, err)
	}
	if _, err := ParseRecord([]byte("nonsense"), s.config.Secrets); err == nil {
		t.Error("nonsense is a record")
	}
}
