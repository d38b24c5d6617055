package git

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// head is GitStatus but for its list of files.
type head struct {
	CurrentBranch   string `json:"currentBranch"`
	Detached        bool   `json:"detached"`
	Upstream        string `json:"upstream"`
	BranchPublished bool   `json:"branchPublished"`
	Ahead           int    `json:"ahead"`
	Behind          int    `json:"behind"`
}

// fileStatus is a file that differs from the last commit, or is not in it.
type fileStatus struct {
	Name     string `json:"name"`
	Staging  string `json:"staging"`
	Worktree string `json:"worktree"`
	Extra    string `json:"extra"` // the name before a renaming
}

func (s *Service) status(w http.ResponseWriter, r *http.Request) error {
	repo, err := s.open(r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	run, err := s.must(r.Context(), command{
		repo: repo,
		args: []string{"-c", "status.renames=true", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z", "--ahead-behind", "--untracked-files=all", "--ignored=no"},
	})
	if err != nil {
		return err
	}
	defer run.Close()
	fields := newFields(run.stdout.Seal())
	h, err := s.readHead(r.Context(), repo, fields)
	if err != nil {
		return err
	}
	// A list of a million files does not stand in memory.
	answer(w, h, "fileStatus", func() (any, error) { return nextFile(fields) })
	return nil
}

// readHead reads the lines about the branch, which come first.
func (s *Service) readHead(ctx context.Context, repo *repository, in *fields) (head, error) {
	var h head
	for {
		line, err := in.peek()
		if err == io.EOF || err == nil && !strings.HasPrefix(line, "# ") {
			return h, nil
		}
		if err != nil {
			return h, err
		}
		in.skip()
		name, value, _ := strings.Cut(line[2:], " ")
		switch name {
		case "branch.head":
			h.CurrentBranch = textOf(value)
			if value != "(detached)" {
				break
			}
			// A branch may have this name too.
			branch, err := s.branch(ctx, repo)
			if err != nil {
				return h, err
			}
			if branch == "" {
				h.CurrentBranch, h.Detached = "HEAD", true
			}
		case "branch.upstream":
			h.Upstream, h.BranchPublished = textOf(value), true
		case "branch.ab":
			if _, err := fmt.Sscanf(value, "+%d -%d", &h.Ahead, &h.Behind); err != nil {
				return h, fmt.Errorf("read git's status: %q: %w", line, err)
			}
		}
	}
}

// stateNames are the letters of git-status(1), and the API's words for them.
var stateNames = map[byte]string{
	'.': "Unmodified", 'M': "Modified", 'T': "Modified", 'A': "Added", 'D': "Deleted", 'R': "Renamed", 'C': "Copied",
}

// nextFile reads the next entry of git's porcelain format 2; nil is the end.
func nextFile(in *fields) (any, error) {
	line, err := in.next()
	if err == io.EOF {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := fileStatus{}
	// How many fields, each with a space behind it, stand before the name.
	before := map[byte]int{'1': 8, '2': 9, 'u': 10, '?': 1}[line[0]]
	parts := strings.SplitN(line, " ", before+1)
	if before == 0 || len(parts) <= before {
		return nil, fmt.Errorf("read git's status: %q", line)
	}
	f.Name = textOf(parts[before])
	switch line[0] {
	case '?':
		f.Staging, f.Worktree = "Untracked", "Untracked"
	case 'u':
		f.Staging, f.Worktree = "Updated but unmerged", "Updated but unmerged"
	default:
		f.Staging, f.Worktree = stateNames[parts[1][0]], stateNames[parts[1][1]]
	}
	if line[0] == '2' {
		old, err := in.next()
		if err != nil {
			return nil, fmt.Errorf("read git's status: %w", err)
		}
		f.Extra = textOf(old)
	}
	return f, nil
}

// fields are what NUL bytes separate.
type fields struct {
	in     *bufio.Reader
	peeked *string
}

func newFields(r io.Reader) *fields { return &fields{in: bufio.NewReaderSize(r, 32<<10)} }

func (f *fields) next() (string, error) {
	if f.peeked != nil {
		text := *f.peeked
		f.peeked = nil
		return text, nil
	}
	text, err := f.in.ReadString(0)
	if err == io.EOF && text != "" {
		err = io.ErrUnexpectedEOF
	}
	return strings.TrimSuffix(text, "\x00"), err
}

func (f *fields) peek() (string, error) {
	text, err := f.next()
	if err == nil {
		f.peeked = &text
	}
	return text, err
}

func (f *fields) skip() { f.peeked = nil }

// answer writes the members of first, which may be nil, and a list as the last
// one, whose items come from next until that is nil.
func answer(w http.ResponseWriter, first any, list string, next func() (any, error)) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	out := bufio.NewWriterSize(w, 32<<10)
	end := "]\n"
	if first == nil {
		_ = out.WriteByte('[') // bufio keeps its first error until Flush
	} else {
		members := encode(first)
		_, _ = fmt.Fprintf(out, `%s,"%s":[`, members[:len(members)-1], list)
		end = "]}\n"
	}
	for separator := ""; ; separator = "," {
		item, err := next()
		if err != nil {
			panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
		}
		if item == nil {
			break
		}
		_, _ = out.WriteString(separator)
		_, _ = out.Write(encode(item))
	}
	_, _ = out.WriteString(end)
	if out.Flush() != nil {
		panic(http.ErrAbortHandler)
	}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // only a programming error can make this happen
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}
