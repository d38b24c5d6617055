package lsp

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

type completionRequest struct {
	documentRequest
	Position *position          `json:"position"`
	Context  *completionContext `json:"context"`
}

type completionContext struct {
	TriggerKind      int    `json:"triggerKind"`
	TriggerCharacter string `json:"triggerCharacter,omitempty"`
}

// completionList is as clients have it: what a server says beyond it is left out,
// since some refuse members that they do not know.
type completionList struct {
	IsIncomplete bool             `json:"isIncomplete"`
	Items        []completionItem `json:"items"`
}

type completionItem struct {
	Label         string         `json:"label"`
	Kind          int            `json:"kind,omitempty"`
	Detail        string         `json:"detail,omitempty"`
	Documentation *documentation `json:"documentation,omitempty"`
	SortText      string         `json:"sortText,omitempty"`
	FilterText    string         `json:"filterText,omitempty"`
	InsertText    string         `json:"insertText,omitempty"`
}

// documentation is an object for clients, who fail on the string that it may be
// for servers.
type documentation struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

func (d *documentation) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		d.Kind = "plaintext"
		return json.Unmarshal(b, &d.Value)
	}
	type plain documentation
	return json.Unmarshal(b, (*plain)(d))
}

func (s *Service) completions(w http.ResponseWriter, r *http.Request) error {
	var req completionRequest
	if err := wire.Decode(w, r, &req); err != nil {
		return err
	}
	if req.Position == nil {
		return wire.Bad("position is missing: give line and character, which begin with 0")
	}
	if !req.Position.valid() {
		return wire.Bad("position is line %d, character %d: both are between 0 and %d", req.Position.Line, req.Position.Character, math.MaxInt32)
	}
	params := map[string]any{"position": req.Position}
	if c := req.Context; c != nil {
		if c.TriggerKind < 1 || c.TriggerKind > 3 {
			return wire.Bad("context.triggerKind is %d: 1 is invoked, 2 is a trigger character, 3 is an incomplete list", c.TriggerKind)
		}
		params["context"] = c
	}
	p, one, path, err := s.document(r.Context(), req.key, req.URI)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := s.askAbout(r.Context(), one, p, path, "textDocument/completion", params, &answer); err != nil {
		return err
	}
	list, err := readCompletions(answer)
	if err != nil {
		return wire.Bad("%s: its answer to textDocument/completion is not one: %v", one.program, err)
	}
	wire.JSON(w, http.StatusOK, list)
	return nil
}

// readCompletions reads a list, its items alone, or null.
func readCompletions(answer json.RawMessage) (list completionList, err error) {
	type item struct {
		completionItem
		TextEdit *struct {
			NewText string `json:"newText"`
		} `json:"textEdit"`
	}
	var read struct {
		IsIncomplete bool   `json:"isIncomplete"`
		Items        []item `json:"items"`
	}
	if answer = bytes.TrimSpace(answer); len(answer) > 0 && answer[0] == '[' {
		err = json.Unmarshal(answer, &read.Items)
	} else if len(answer) > 0 {
		err = json.Unmarshal(answer, &read)
	}
	if err != nil {
		return list, err
	}
	list = completionList{IsIncomplete: read.IsIncomplete, Items: make([]completionItem, len(read.Items))}
	for i, one := range read.Items {
		// Some servers say only in an edit what is inserted.
		if one.InsertText == "" && one.TextEdit != nil {
			one.InsertText = one.TextEdit.NewText
		}
		list.Items[i] = one.completionItem
	}
	return list, nil
}
