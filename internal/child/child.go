// Package child runs child processes that never outlive their parent, whichever
// way the parent ends. A Process is kept running: started, read line by line,
// started again when it dies, and ended. A Piped runs once and is spoken to over
// its standard input and output. Neither knows what the child does; they serve
// the program that runs Envoy and the broker's bridge to local servers.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// tail is the number of lines that an error quotes.
const tail = 12

// Process says what to run and how patient to be. Its fields do not change
// while Run works.
type Process struct {
	// Path is the executable, Args its arguments without the name. Env is added
	// to the parent's environment as NAME=value.
	Path string
	Args []string
	Env  []string
	// Stdout gets standard output as it is, without a copy in between; nil means
	// that OnLine gets its lines.
	Stdout *os.File
	// Grace lies between SIGTERM and SIGKILL when Run is told to end.
	Grace time.Duration
	// Quick is the age before which a death counts as quick. After MaxQuick
	// quick deaths in a row Run gives up; one longer life starts the count anew.
	Quick    time.Duration
	MaxQuick int
	// MinDelay lies before the first start after a death; it doubles with each
	// quick death up to MaxDelay.
	MinDelay, MaxDelay time.Duration
	// OnLine gets each line of standard error, and of standard output if Stdout
	// is nil, without its end. OnStart gets the process id. OnExit gets the reason of a death, nil
	// for exit status 0, and when the next start is due; it is not called for
	// the last one. All may be nil; none is called after Run returned.
	OnLine  func(line string)
	OnStart func(pid int)
	OnExit  func(reason error, restart time.Duration)
}

// StartError says that the executable could not be started at all.
type StartError struct{ Err error }

func (e *StartError) Error() string { return e.Err.Error() }

// Unwrap gives the operating system's error.
func (e *StartError) Unwrap() error { return e.Err }

// DeathError says that the child died quickly too often.
type DeathError struct {
	// Times in a row; Err is the last reason, nil for exit status 0.
	Times int
	Err   error
	// Tail is the last lines that the child printed before.
	Tail []string
}

func (e *DeathError) Error() string {
	reason := "exit status 0"
	if e.Err != nil {
		reason = e.Err.Error()
	}
	s := fmt.Sprintf("died %d times in a row (%s)", e.Times, reason)
	if len(e.Tail) > 0 {
		s += "; it said last:\n  " + strings.Join(e.Tail, "\n  ")
	}
	return s
}

// Unwrap gives the last reason.
func (e *DeathError) Unwrap() error { return e.Err }

// Run keeps the child alive until ctx ends; then it ends the child and returns
// nil. It returns a *StartError or *DeathError when there is no use in going on.
func (p *Process) Run(ctx context.Context) error {
	quick := 0
	for {
		begin := time.Now()
		lines, err := p.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if s := new(StartError); errors.As(err, &s) {
			return s
		}
		if time.Since(begin) >= p.Quick {
			quick = 0
		}
		quick++
		if quick >= p.MaxQuick {
			return &DeathError{Times: quick, Err: err, Tail: lines}
		}
		delay := p.MaxDelay
		if shift := quick - 1; shift < 20 {
			delay = min(p.MinDelay<<shift, p.MaxDelay)
		}
		if p.OnExit != nil {
			p.OnExit(err, delay)
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// once runs the child to its end and returns its last lines.
func (p *Process) once(ctx context.Context) ([]string, error) {
	out := &lines{emit: p.OnLine}
	c := exec.CommandContext(ctx, p.Path, p.Args...)
	c.Env = append(os.Environ(), p.Env...)
	c.Stdout, c.Stderr = out, out
	if p.Stdout != nil {
		c.Stdout = p.Stdout
	}
	c.SysProcAttr = attributes()
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = p.Grace

	done := make(chan error, 1)
	go func() {
		// Linux ties the signal that ends an orphan to the thread that made the
		// child, not to the process; so this thread stays until the child ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := c.Start(); err != nil {
			done <- &StartError{err}
			return
		}
		if p.OnStart != nil {
			p.OnStart(c.Process.Pid)
		}
		done <- c.Wait()
	}()
	err := <-done
	out.flush()
	return out.last, err
}
