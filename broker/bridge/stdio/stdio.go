// Package stdio is a connection to an MCP server over its standard input and
// output (2025-11-25, basic/transports, stdio): one process, one message a line.
// It reads no message; a line is a line. It serves the broker's bridge.
package stdio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mcp-gateway/internal/child"
)

const (
	// writeTimeout ends a process that does not read what it is sent.
	writeTimeout = 30 * time.Second
	// maxLogged bounds what is logged of a line of standard error, in bytes.
	maxLogged = 1 << 10
	// maxHeld is how many lines of standard error are held back.
	maxHeld   = 20
	readAhead = 64 << 10
)

// inherited are the variables that a process gets without being told: none of
// them is secret. The gateway's own secrets, and those of other servers, stay
// with the gateway.
var inherited = []string{"HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"}

// Command says which process to run.
type Command struct {
	// Path is the program, looked for in PATH if it is a plain name.
	Path string
	Args []string
	// Env is added to the few variables that every process gets. Values may be
	// secrets.
	Env map[string]string
	// Dir is the working directory; empty means the gateway's.
	Dir string
	// Limit bounds a message of the process in bytes.
	Limit int
	// Log gets what the process writes to standard error: at level info before
	// its first message, which is where servers say why they do not start, and at
	// debug from then on, as the text may tell what clients do.
	Log *zap.Logger
	// Quiet is for a process that is not the first of its server: what is the same
	// each time is logged at debug, and what it writes before its first message at
	// info only if there never is one.
	Quiet bool
}

// Conn is a running process.
type Conn struct {
	process *child.Piped
	limit   int
	log     *zap.Logger
	spoken  atomic.Bool
	writing chan struct{} // holds a token while a message is being written

	mu    sync.Mutex
	quiet bool     // before the first message lines are held back
	held  []string // the last of them
}

// Start runs the process.
func Start(c Command) (*Conn, error) {
	conn := &Conn{limit: c.Limit, log: c.Log, quiet: c.Quiet, writing: make(chan struct{}, 1)}
	p, err := child.Start(child.Command{Path: c.Path, Args: c.Args, Env: environ(c.Env), Dir: c.Dir, OnLine: conn.line})
	if err != nil {
		// The system's error names the program, whichever of the two is missing.
		if info, dirErr := os.Stat(c.Dir); c.Dir != "" && (dirErr != nil || !info.IsDir()) {
			return nil, fmt.Errorf("start the process: there is no directory %s for it (dir)", c.Dir)
		}
		return nil, fmt.Errorf("start the process: %w", err)
	}
	conn.process = p
	level := zap.InfoLevel
	if c.Quiet {
		level = zap.DebugLevel
	}
	c.Log.Log(level, "process started", zap.Int("pid", p.PID()))
	return conn, nil
}

func environ(own map[string]string) []string {
	var env []string
	for _, name := range inherited {
		if _, set := own[name]; set {
			continue
		}
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		env = append(env, name+"="+own[name])
	}
	return env
}

// Send writes one message and its line end.
func (c *Conn) Send(ctx context.Context, message []byte) error {
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the process to read: %w", ctx.Err())
	}
	// A line must not be cut, so from here on only the deadline counts.
	_ = c.process.Stdin.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := c.process.Stdin.Write(append(message, '\n'))
	if err == nil {
		return nil
	}
	if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		go c.Close(0) // what follows would be read as the rest of this line
	}
	return fmt.Errorf("write to the process: %w", err)
}

// Receive hands over each line that is not blank.
func (c *Conn) Receive(f func(message []byte)) error {
	defer c.process.Stdout.Close() //nolint:errcheck // only read
	r := bufio.NewReaderSize(c.process.Stdout, readAhead)
	var long []byte // the beginning of a line longer than the reader's buffer
	for {
		piece, err := r.ReadSlice('\n')
		if len(long)+len(piece) > c.limit {
			return fmt.Errorf("a message has more than %d bytes", c.limit)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			if long == nil {
				long = make([]byte, 0, 4*readAhead)
			}
			long = append(long, piece...)
			continue
		}
		if err != nil {
			break
		}
		line := piece
		if len(long) > 0 {
			line = append(long, piece...)
			long = nil
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if !c.spoken.Swap(true) {
				c.release(zap.DebugLevel)
			}
			f(line)
		}
	}
	if !c.spoken.Load() {
		defer c.release(zap.InfoLevel)
	}
	// The reason is the process's if it ends by itself within a moment.
	select {
	case <-c.process.Done():
		return ended(c.process.Err())
	case <-time.After(time.Second):
		return errors.New("the process closed its output")
	}
}

func ended(err error) error {
	if err == nil {
		return errors.New("the process exited with status 0")
	}
	return fmt.Errorf("the process ended: %w", err)
}

// Close ends the process as the specification says (2025-11-25,
// basic/lifecycle, Shutdown): its standard input is closed; if it does not exit
// it gets SIGTERM, and at last SIGKILL.
func (c *Conn) Close(patience time.Duration) { c.process.End(patience) }

// line logs a line of standard error.
func (c *Conn) line(text string) {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, text)
	if len(text) > maxLogged {
		text = strings.ToValidUTF8(text[:maxLogged], "") + "…"
	}
	if text == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.spoken.Load():
		c.write(zap.DebugLevel, text)
	case !c.quiet:
		c.write(zap.InfoLevel, text)
	default:
		c.held = append(c.held[max(0, len(c.held)-maxHeld+1):], text)
	}
}

// release logs the lines that were held back, and has no more of them held.
func (c *Conn) release(level zapcore.Level) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = false
	for _, text := range c.held {
		c.write(level, text)
	}
	c.held = nil
}

func (c *Conn) write(level zapcore.Level, text string) {
	c.log.Log(level, "server writes", zap.String("stderr", text))
}
