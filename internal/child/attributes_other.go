//go:build unix && !linux

package child

import "syscall"

// attributes puts the child into a group of its own, so that Ctrl-C in a
// terminal reaches the parent alone. A killed parent leaves the child here.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
