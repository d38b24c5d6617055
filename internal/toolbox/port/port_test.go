package port

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func get(t *testing.T, path string, v any) int {
	t.Helper()
	mux := http.NewServeMux()
	Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
		t.Fatal(err)
	}
	return w.Code
}

func TestAListenerIsSeenUntilItCloses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	number := l.Addr().(*net.TCPAddr).Port
	var all struct{ Ports []int }
	var one struct{ IsInUse *bool }
	path := fmt.Sprintf("/port/%d/in-use", number)
	if get(t, "/port", &all); !slices.Contains(all.Ports, number) || !slices.IsSorted(all.Ports) {
		t.Errorf("%v lacks %d", all.Ports, number)
	}
	if get(t, path, &one); one.IsInUse == nil || !*one.IsInUse {
		t.Error("it is not in use")
	}
	l.Close()
	if get(t, path, &one); *one.IsInUse {
		t.Error("it is still in use")
	}
}

func TestBadPorts(t *testing.T) {
	for _, p := range []string{"0", "65536", "x", "-1"} {
		var e struct{ Message string }
		if code := get(t, "/port/"+p+"/in-use", &e); code != 400 || !strings.Contains(e.Message, "from 1 to 65535") {
			t.Errorf("%s: %d %s", p, code, e.Message)
		}
	}
}

func TestOnlyListenersCount(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 0100007F:0016 0100007F:9C40 01 00000000:00000000
   2: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 0`
	if got := parse(bufio.NewScanner(strings.NewReader(table))); !slices.Equal(got, []int{8080, 3000}) {
		t.Error(got)
	}
}
