package proc

import "syscall"

// forkExec starts a process by clone with CLONE_VFORK, which costs the same
// however much memory the agent uses.
func forkExec(spec Spec) (int, error) {
	attr := &syscall.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.Env,
		Files: spec.Files,
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: spec.TTY},
	}
	if syscall.Geteuid() == 0 {
		attr.Sys.Credential = &syscall.Credential{Uid: spec.UID, Gid: spec.GID, Groups: spec.Groups}
	}
	return syscall.ForkExec(spec.Path, spec.Args, attr)
}
