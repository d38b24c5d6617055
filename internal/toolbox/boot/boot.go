// Package boot is the contract between the engine, which starts a sandbox, and
// the agent, which is its first process. The engine runs the agent as PID 1,
// as root of the sandbox's user namespace, with two descriptors:
//
//   - ListenerFD: a listening unix stream socket made on the host. Requests may
//     already wait in its backlog.
//   - ConfigFD: a file that holds one JSON Config. The agent reads it to its
//     end and closes it.
//
// SIGTERM asks the agent to end everything in the sandbox in an orderly way
// and exit; the engine kills what is left after its grace period.
// The package imports only the standard library, to keep the agent small.
package boot

// The inherited descriptors and where the agent's directory is mounted
// read-only inside the sandbox.
const (
	ListenerFD = 3
	ConfigFD   = 4

	Dir  = "/.daytona"         // holds Path and, when trust was added, CABundle
	Path = "/.daytona/toolbox" // the agent itself

	CABundle = "/.daytona/ca-certificates.crt"

	// View is an empty directory for the files that tell of the sandbox's size,
	// with two more in it, proc and sysfs.
	View = "/.daytona/view"

	// State is an empty directory for what the agent needs on whatever disk.
	State = "/.daytona/state"
)

// Profile is the file that gives login shells the sandbox's variables. It is in
// memory, so no copy of the disk has them. The engine makes ProfileScript, which
// reads it, the first of those that /etc/profile runs: others may add to PATH.
const (
	Profile       = "/dev/.daytona/profile"
	ProfileScript = "/etc/profile.d/00-daytona.sh"
)

// The headers in which the server tells the agent, in requests for its metrics,
// how many bytes the sandbox's disk may and does take: inside, nobody can see
// the filesystem's quota.
const (
	DiskLimit = "X-Daytona-Disk-Limit"
	DiskUsed  = "X-Daytona-Disk-Used"
)

// Config tells the agent how to run the sandbox's processes.
type Config struct {
	SandboxID  string            `json:"sandboxId"`
	User       string            `json:"user"`       // name or uid, optionally ":group"; "" is root
	WorkDir    string            `json:"workDir"`    // the image's WORKDIR; "" is the user's home
	Env        map[string]string `json:"env"`        // of every process: the image's, overridden by the sandbox's
	Entrypoint []string          `json:"entrypoint"` // supervised; its end does not end the agent
	Version    string            `json:"version"`    // of the server that started it
	Profile    string            `json:"profile"`    // file for login shells' variables, in memory; "" for none
	OpenFiles  uint64            `json:"openFiles"`  // limit of a process that does not raise it; 0 where the engine has set it
}

// Probe is the argument with which the agent's program is no agent, but prints a
// Report and ends. The engine runs it to learn whether sandboxes work here.
const (
	Probe     = "probe"
	ProbeFile = "/written-by-a-probe" // which it writes
)

// Report is what a program in a sandbox finds there.
type Report struct {
	UID       int      `json:"uid"`
	GID       int      `json:"gid"`
	OpenFiles uint64   `json:"openFiles"` // to which it may raise its limit
	Addresses []string `json:"addresses"` // of its network, with the length of their prefixes
	Failed    []string `json:"failed"`    // what it could not do
}
