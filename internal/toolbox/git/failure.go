package git

import (
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/opendaytona/daytona/internal/toolbox/capture"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// rule makes an answer of git's words.
type rule struct {
	status int
	code   wire.Code
	words  string // a regular expression
}

// fits compiles the words each time: failures are rare, and what is compiled would
// take memory in every sandbox.
func (r rule) fits(text string) bool { return regexp.MustCompile(r.words).MatchString(text) }

// pushed says what became of a push. "Failed to push some refs" comes with every
// one that fails, whyever.
var pushed = []rule{
	{http.StatusConflict, wire.GitPushRejected, `non-fast-forward|\(fetch first\)|updates were rejected|stale info`},
	{http.StatusUnprocessableEntity, wire.GitRemoteRejected, `\[remote rejected\]|remote unpack failed`},
}

// ownWords are those of git itself; the first that fits counts.
var ownWords = []rule{
	{http.StatusInsufficientStorage, wire.Internal, `no space left on device|disk quota exceeded`},
	{http.StatusUnauthorized, wire.GitAuthFailed, `authentication failed|invalid user(name)? or password|could not read (username|password)|prompts disabled|permission denied \(|returned error: 401`},
	{http.StatusForbidden, wire.Forbidden, `returned error: 403`},
	{http.StatusNotFound, wire.GitBranchNotFound, `remote branch .* not found|couldn't find remote ref|branch '' not found`},
	{http.StatusNotFound, wire.GitRepoNotFound, `repository ('' )?(not found|does not exist)|not a git repository|does not appear to be a git repository|returned error: 404`},
	{http.StatusConflict, wire.GitBranchExists, `a branch named '' already exists`},
	{http.StatusConflict, wire.Conflict, `cannot delete branch|already exists|unable to create '': file exists`},
	{http.StatusConflict, wire.GitDirtyWorktree, `would be overwritten|commit your changes or stash|not uptodate|needs merge|resolve your current index first`},
	{http.StatusConflict, wire.GitMergeConflict, `not possible to fast-forward|can't be fast-forwarded|cannot fast-forward|merge conflict|unmerged|in the middle of a merge|have not concluded your merge`},
	{http.StatusNotFound, wire.NotFound, `unknown revision|ambiguous argument|bad revision|invalid reference|src refspec .* does not match any|not currently on a branch|no such remote|not our ref|unadvertised object|could not resolve head`},
	{http.StatusBadRequest, wire.BadRequest, `did not match any|not a valid (branch|remote) name|invalid (branch|initial branch) name|pathspec|outside repository|ignored by one of|nothing to commit|nothing added to commit|no changes added|must be run in a work tree|unable to find remote helper|empty ident|name consists only of|transport '' not allowed|invalid path|bad config`},
	{http.StatusForbidden, wire.FileAccessDenied, `permission denied|read-only file system|operation not permitted|insufficient permission`},
	{http.StatusBadGateway, wire.GitTransportFailed, `could(n't| not) resolve|name or service not known|failed to connect|could(n't| not) connect|unable to connect|connection (refused|reset|timed out|was reset|closed)|timed out|network is unreachable|no route to host|` +
		`\bssl|certificate|gnutls|\btls\b|early eof|hung up|rpc failed|empty reply|bad packet|protocol error|returned error: [0-9]+|unable to access|host key verification failed|could not read from remote repository|unable to update url base|is this a git repository|transfer closed`},
}

// remoteWords are what a server sends along. Only these of its words count: a
// hook may print anything.
var remoteWords = []rule{
	{http.StatusForbidden, wire.Forbidden, `permission .*denied|write access to repository not granted`},
	{http.StatusNotFound, wire.GitRepoNotFound, `repository not found|project you were looking for could not be found`},
	{http.StatusUnauthorized, wire.GitAuthFailed, `invalid username or (password|token)|authentication failed|http basic: access denied`},
}

// failure is the answer for a run that ended with another exit code than 0.
func failure(c command, r *result) error {
	own, remote, told := words(r.stderr.String())
	if told == "" { // some commands explain themselves on their standard output
		b, _ := io.ReadAll(io.LimitReader(r.stdout.Seal(), capture.TailSize))
		own, _, told = words(string(b))
	}
	told = passwordInURL().ReplaceAllString(told, "$1:***@")
	if c.secret != nil {
		told = c.secret.mask(told)
	}
	const usage = 129 // exit code of git for an option that it does not know
	switch {
	case r.killed != "":
		return wire.Errorf(http.StatusInternalServerError, wire.Internal, "git was %s", strings.TrimSuffix(r.killed, "\n"))
	case told == "":
		return wire.Errorf(http.StatusInternalServerError, wire.Internal, "git ended with exit code %d and no word", r.code)
	case r.code == usage:
		return wire.Bad("the sandbox's git is too old for this: install 2.28 or newer (%s)", told)
	}
	for _, said := range []struct {
		rules []rule
		text  string
	}{{pushed, own}, {remoteWords, remote}, {ownWords, own}} {
		for _, rule := range said.rules {
			if rule.fits(said.text) {
				return wire.Errorf(rule.status, rule.code, "%s", told)
			}
		}
	}
	return wire.Errorf(http.StatusInternalServerError, wire.Internal, "%s (exit code %d)", told, r.code)
}

// quoted are names in git's words: what they are called decides nothing.
var quoted = lazy(`(^|[\s(:])'[^'\n]*'`)

// words takes git's output apart: its own words, without names, and the server's,
// in lower case, and both for people, without hints, which speak of git's command
// line.
func words(output string) (own, remote, told string) {
	var mine, theirs, lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line[strings.LastIndexByte(strings.TrimRight(line, "\r\n"), '\r')+1:])
		if line == "" || strings.HasPrefix(line, "hint:") {
			continue
		}
		if text, ok := strings.CutPrefix(line, "remote:"); ok {
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			theirs = append(theirs, text)
		} else {
			mine = append(mine, line)
		}
		lines = append(lines, line)
	}
	own = quoted().ReplaceAllString(strings.ToLower(strings.Join(mine, "\n")), "$1''")
	return own, strings.ToLower(strings.Join(theirs, "\n")), strings.Join(lines, "\n")
}
