package api

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestMessagesReadWellInTheirJSON(t *testing.T) {
	for _, v := range []any{Error{Message: `Snapshot "a" is "b".`}, &Error{Message: `Snapshot "a" is "b".`}} {
		text, err := json.Marshal(v)
		if err != nil || !strings.Contains(string(text), `"message":"Snapshot 'a' is 'b'."`) || !strings.Contains(string(text), `"statusCode":0`) {
			t.Errorf("%s, %v", text, err)
		}
	}
}
