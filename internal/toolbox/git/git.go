// Package git answers /git. It runs the sandbox's git program as the sandbox's
// user: with its home, its configuration and its rights, but without hooks,
// prompts, and processes that stay. How credentials reach git is in secret.go,
// what git's words mean to clients in failure.go; else there is a file for each
// noun of the API.
package git

import (
	"net/http"

	"github.com/opendaytona/daytona/internal/keylock"
	"github.com/opendaytona/daytona/internal/toolbox/launch"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

// Service answers the git routes.
type Service struct {
	launcher *launch.Launcher
	// changes has a lock for each repository: git itself does not wait for
	// another that changes the same index, but fails.
	changes keylock.Locks
	// fetches has one for each repository into which something is being pulled,
	// so that a slow server keeps nobody from changing files meanwhile.
	fetches keylock.Locks
}

// New makes the service.
func New(l *launch.Launcher) *Service { return &Service{launcher: l} }

// Register adds the service's routes.
func (s *Service) Register(mux *http.ServeMux) {
	mux.Handle("POST /git/init", wire.Handler(s.initialize))
	mux.Handle("POST /git/clone", wire.Handler(s.clone))
	mux.Handle("GET /git/status", wire.Handler(s.status))
	mux.Handle("GET /git/history", wire.Handler(s.history))
	mux.Handle("POST /git/add", wire.Handler(s.add))
	mux.Handle("POST /git/commit", wire.Handler(s.commit))
	mux.Handle("GET /git/branches", wire.Handler(s.listBranches))
	mux.Handle("POST /git/branches", s.changeBranch(http.StatusCreated, "checkout", "--quiet", "--no-track", "-b")) // at HEAD
	mux.Handle("DELETE /git/branches", s.changeBranch(http.StatusNoContent, "branch", "--quiet", "-D", "--"))       // also one that is merged nowhere
	mux.Handle("POST /git/checkout", wire.Handler(s.checkout))
	mux.Handle("POST /git/push", wire.Handler(s.push))
	mux.Handle("POST /git/pull", wire.Handler(s.pull))
	mux.Handle("POST /git/reset", wire.Handler(s.reset))
	mux.Handle("POST /git/restore", wire.Handler(s.restore))
	mux.Handle("GET /git/remotes", wire.Handler(s.listRemotes))
	mux.Handle("POST /git/remotes", wire.Handler(s.addRemote))
	mux.Handle("GET /git/config", wire.Handler(s.getConfig))
	mux.Handle("POST /git/config", wire.Handler(s.setConfig))
	mux.Handle("POST /git/config/user", wire.Handler(s.configureUser))
	mux.Handle("POST /git/credentials", wire.Handler(s.storeCredentials))
}
