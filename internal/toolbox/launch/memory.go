package launch

import "fmt"

// killed is the exit code of what SIGKILL ended, as a shell tells it.
const killed = 128 + 9

// Toll remembers how often the sandbox's memory had run out when something
// began, so that its end can be explained.
type Toll struct {
	launcher *Launcher
	before   int64
}

// Toll is taken when something begins.
func (l *Launcher) Toll() Toll { return Toll{l, l.group.OutOfMemory()} }

// Explain is a line for the output of what ended with that exit code, when the
// kernel killed it because the sandbox's memory ran out, else "".
func (t Toll) Explain(code int) string {
	if code != killed || t.launcher.group.OutOfMemory() == t.before {
		return ""
	}
	return fmt.Sprintf("killed: the sandbox's memory limit of %s was reached; use less at a time, or resize the sandbox\n", size(t.launcher.group.MemoryLimit()))
}

// size is a number of bytes for people.
func size(bytes uint64) string {
	const gib, mib = 1 << 30, 1 << 20
	if bytes >= gib {
		return fmt.Sprintf("%.4g GiB", float64(bytes)/gib)
	}
	return fmt.Sprintf("%.4g MiB", float64(bytes)/mib)
}
