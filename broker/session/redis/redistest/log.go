package redistest

import (
	"bufio"
	"strings"
	"sync"
	"time"
)

// log is the output of one process.
type log struct {
	ended chan struct{} // closed at the end of the output

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

// follow collects the lines of in and closes ended after the last.
func follow(in *bufio.Scanner, ended chan struct{}) *log {
	l := &log{ended: ended, more: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for in.Scan() {
			l.mu.Lock()
			l.lines = append(l.lines, in.Text())
			close(l.more)
			l.more = make(chan struct{})
			l.mu.Unlock()
		}
	}()
	return l
}

// await waits for a line with the text, past or to come.
func (l *log) await(text string) bool {
	limit := time.After(patience)
	for seen := 0; ; {
		l.mu.Lock()
		lines, more := l.lines, l.more
		l.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if strings.Contains(lines[seen], text) {
				return true
			}
		}
		select {
		case <-more:
		case <-l.ended:
			return false
		case <-limit:
			return false
		}
	}
}

// String returns the output so far.
func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
