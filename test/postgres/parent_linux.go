package postgres

import "syscall"

// endWithParent lets the server end with the test, however that ends.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }
