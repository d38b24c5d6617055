package session

import (
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opendaytona/daytona/internal/toolbox/logfile"
)

func ended(t *testing.T, records ...string) *command {
	t.Helper()
	log, err := logfile.Create(filepath.Join(t.TempDir(), "log"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records { // "1text" is of stdout, "2text" of stderr
		log.Append(logfile.Stream(r[0]-'0'), []byte(r[1:]))
	}
	log.End()
	return &command{id: "id", code: 3, log: log}
}

func TestTheAnswerToACommandIsWhatTheVersionOfTheSDKReads(t *testing.T) {
	const plain, marked = "out\nerr\nmore", "\x01\x01\x01out\n\x02\x02\x02err\n\x01\x01\x01more"
	for version, want := range map[string]string{
		"":                plain, // curl, and others that are no SDK
		"0.115.0":         marked,
		"0.161.0":         marked,
		"0.166.9":         marked,
		"0.164.0-alpha.1": marked,
		"0.163.0a2":       marked,
		"0.167.0":         plain,
		"0.226.1":         plain,
		"1.2.0":           plain,
		"0.0.0-dev":       plain,
		"unknown":         plain,
		"0":               plain,
		"0.x.1":           plain,
		"0.-4.1":          plain,
	} {
		r := httptest.NewRequest("POST", "/process/session/s/exec", nil)
		r.Header.Set("Accept", "application/json")
		if version != "" {
			r.Header.Set("X-Daytona-SDK-Version", version)
		}
		w := httptest.NewRecorder()
		if err := ended(t, "1out\n", "2err\n", "1more").answer(w, r); err != nil {
			t.Fatal(err)
		}
		var got struct {
			CmdID                  string
			ExitCode               int
			Output, Stdout, Stderr string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		if got.Output != want || got.Stdout != "out\nmore" || got.Stderr != "err\n" || got.CmdID != "id" || got.ExitCode != 3 {
			t.Errorf("SDK %q: %+v", version, got)
		}
	}
}

func TestMarksDoNotDivideCharacters(t *testing.T) {
	for name, c := range map[string]struct {
		records []string
		want    string
	}{
		"in one stream":           {[]string{"1a\xe2", "1\x82", "1\xacb"}, "\x01\x01\x01a\x01\x01\x01€b"},
		"across the other stream": {[]string{"1\xf0\x9f", "2err", "1\x98\x80"}, "\x02\x02\x02err\x01\x01\x01😀"},
		"both at once":            {[]string{"1\xc3", "2\xc3", "1\xa4", "2\xb6"}, "\x01\x01\x01ä\x02\x02\x02ö"},
		"never finished":          {[]string{"1a\xe2\x82", "2b"}, "\x01\x01\x01a\x02\x02\x02b\x01\x01\x01\xe2\x82"},
		"no characters":           {[]string{"1\xff\xfe\x80\x80\x80\x80", "1\xff"}, "\x01\x01\x01\xff\xfe\x80\x80\x80\x80\x01\x01\x01\xff"},
		"nothing":                 {nil, ""},
	} {
		var got strings.Builder
		if err := writeMarked(&got, ended(t, c.records...).log); err != nil || got.String() != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got.String(), err, c.want)
		}
	}
}

func TestTextOfALogIsMarkedForSDKs(t *testing.T) {
	for version, want := range map[string]string{"": "outerr", "0.161.0": "\x01\x01\x01out\x02\x02\x02err"} {
		r := httptest.NewRequest("GET", "/process/session/s/command/c/logs", nil)
		r.Header.Set("Accept", "text/plain")
		r.Header.Set("X-Daytona-SDK-Version", version)
		w := httptest.NewRecorder()
		if err := serveLogs(w, r, ended(t, "1out", "2err").log); err != nil || w.Body.String() != want {
			t.Errorf("SDK %q: %q, %v", version, w.Body, err)
		}
	}
}
