package httpapi

import (
	"fmt"
	"strings"
	"testing"
)

func TestFieldsWithoutEffectAreRefusedByNameWhenTheyAreSet(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	for field, values := range map[string]struct {
		set     string
		neutral []string
	}{
		"gpu":                  {`1`, []string{`0`}},
		"gpuType":              {`["H100"]`, []string{`[]`}},
		"spot":                 {`true`, []string{`false`}},
		"kvm":                  {`true`, []string{`false`}},
		"autoPauseInterval":    {`5`, []string{`0`}},
		"queueTimeout":         {`5`, nil},
		"volumes":              {`[{"volumeId":"v","mountPath":"/v"}]`, []string{`[]`}},
		"secrets":              {`[{"KEY":"secret"}]`, []string{`[]`}},
		"outboundProxyUrl":     {`"http://proxy:3128"`, []string{`""`}},
		"otelEndpointOverride": {`"http://collector:4318"`, []string{`""`}},
		"linkedSandbox":        {`"other"`, []string{`""`}},
	} {
		said := fmt.Sprint(s.call("POST", "/api/sandbox", `{"snapshot":"snap","`+field+`":`+values.set+`}`, 400)["message"])
		if !strings.HasPrefix(said, "This server does not support "+field+". "+field+": ") {
			t.Errorf("%s: says %q", field, said)
		}
		for _, neutral := range append(values.neutral, "null") {
			sb := s.call("POST", "/api/sandbox", `{"snapshot":"snap","`+field+`":`+neutral+`}`, 200)
			s.call("DELETE", fmt.Sprint("/api/sandbox/", sb["id"]), "", 200)
		}
	}
	if said := fmt.Sprint(s.call("POST", "/api/sandbox", `{"snapshot":"snap","kvm":true,"spot":true}`, 400)["message"]); !strings.Contains(said, "spot, kvm.") {
		t.Errorf("of two it says %q", said)
	}
	s.call("POST", "/api/sandbox", `{"snapshot":"snap","name":"box","publishedLater":{"by":["somebody"]}}`, 200)

	for field, value := range map[string]string{"gpu": "1", "gpuType": `["H100"]`, "sandboxClass": `"linux-vm"`} {
		said := fmt.Sprint(s.call("POST", "/api/snapshots", `{"name":"other","imageName":"debian:12.9","`+field+`":`+value+`}`, 400)["message"])
		if !strings.HasPrefix(said, "This server does not support "+field+". ") {
			t.Errorf("%s: says %q", field, said)
		}
	}
	s.call("POST", "/api/snapshots", `{"name":"other","imageName":"debian:12.9","gpu":0,"gpuType":null,"sandboxClass":"container"}`, 200)
}

// A filter that is not looked at would list what was not asked for.
func TestListsKnowWhatNoSandboxIs(t *testing.T) {
	s := newServer(t)
	s.snapshot("snap")
	s.call("POST", "/api/sandbox", `{"snapshot":"snap"}`, 200)
	for query, want := range map[string]int{
		"": 1, "sandboxClasses=container": 1, "sandboxClasses=linux-vm&sandboxClasses=container": 1, "minGpu=0": 1, "maxGpu=0": 1, "maxGpu=8": 1,
		"sandboxClasses=linux-vm": 0, "minGpu=1": 0,
	} {
		if got := s.call("GET", "/api/sandbox?"+query, "", 200); len(got["items"].([]any)) != want || got["nextCursor"] != nil {
			t.Errorf("%q lists %v", query, got)
		}
	}
}
