package redistest

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends the process with the test's, even when that is killed or
// panics and no cleanup runs.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
