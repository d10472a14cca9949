package child

import "syscall"

// attributes puts the child into a group of its own, so that Ctrl-C in a
// terminal reaches the parent alone, and lets the kernel end it with the parent.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
