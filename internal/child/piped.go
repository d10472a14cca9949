package child

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// drain is how long output is read on after the program has ended: what it left
// in its pipes takes no time, and a process that it left behind must not hold
// them open for ever.
const drain = time.Second

// Command says what a Piped runs.
type Command struct {
	// Path is the executable, looked for in PATH if it is a plain name; Args are
	// its arguments without the name.
	Path string
	Args []string
	// Env is the whole environment as NAME=value: nothing is inherited.
	Env []string
	// Dir is the working directory; empty means the parent's.
	Dir string
	// OnLine gets each line of standard error without its end, from one goroutine.
	OnLine func(line string)
}

// Piped is one run of a program that is spoken to over its standard input and
// output. It is not started again. It leads a process group of its own, which
// ends with it.
type Piped struct {
	// Stdin is the program's standard input; writes to it can have a deadline.
	// End closes it.
	Stdin *os.File
	// Stdout is its standard output. It is at its end soon after the program is,
	// and belongs to the caller, who closes it.
	Stdout *os.File

	pid  int
	done chan struct{}
	err  error // set before done is closed

	mu     sync.Mutex
	reaped bool // its process id may mean another process now
}

// Start runs c. Its error is the operating system's.
func Start(c Command) (*Piped, error) {
	var ours, theirs [3]*os.File // stdin, stdout, stderr
	closeAll := func(files []*os.File) {
		for _, f := range files {
			_ = f.Close() // nil after a failed pipe: an error, no panic
		}
	}
	for i := range ours {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(ours[:])
			closeAll(theirs[:])
			return nil, err
		}
		ours[i], theirs[i] = r, w
		if i == 0 {
			ours[i], theirs[i] = w, r
		}
	}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env, cmd.Dir = append([]string{}, c.Env...), c.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs[0], theirs[1], theirs[2]
	cmd.SysProcAttr = attributes()
	p := &Piped{Stdin: ours[0], Stdout: ours[1], done: make(chan struct{})}
	started := make(chan error, 1)
	go p.live(cmd, ours[2], c.OnLine, started)
	err := <-started
	closeAll(theirs[:])
	if err != nil {
		closeAll(ours[:])
		return nil, err
	}
	return p, nil
}

// live runs the program from its start to its end.
func (p *Piped) live(cmd *exec.Cmd, stderr *os.File, onLine func(string), started chan<- error) {
	// See once: the thread that makes the child has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	read := make(chan struct{})
	go func() {
		defer close(read)
		out := &lines{emit: onLine}
		_, _ = io.Copy(out, stderr) // it ends with the program, or by the deadline
		out.flush()
	}()
	p.err = cmd.Wait()
	p.mu.Lock()
	p.reaped = true
	// A program that ends may have left others in its group.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	p.mu.Unlock()
	_ = stderr.SetReadDeadline(time.Now().Add(drain))
	_ = p.Stdout.SetReadDeadline(time.Now().Add(drain))
	<-read
	_ = stderr.Close()
	_ = p.Stdin.Close()
	close(p.done)
}

// PID is the process id.
func (p *Piped) PID() int { return p.pid }

// Done is closed when the program and its group have ended.
func (p *Piped) Done() <-chan struct{} { return p.done }

// Err is why the program ended, nil for exit status 0. To be read after Done.
func (p *Piped) Err() error { return p.err }

// End ends the program and returns when it has ended: its standard input is
// closed, after half of patience its group gets SIGTERM, and after the other
// half SIGKILL. It may be called again with less patience.
func (p *Piped) End(patience time.Duration) {
	// Under a write that blocks, too: that fails then.
	if err := p.Stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		patience = 0
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		timer := time.NewTimer(patience / 2)
		select {
		case <-p.done:
			timer.Stop()
			return
		case <-timer.C:
		}
		p.mu.Lock()
		if !p.reaped {
			_ = syscall.Kill(-p.pid, sig)
		}
		p.mu.Unlock()
	}
	<-p.done
}
