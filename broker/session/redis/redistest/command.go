package redistest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

// Command sends one command of plain words and returns the first line of the
// answer: "+OK", "-ERR ...", ":1", of anything longer its length.
func (s *Server) Command(words ...string) string {
	s.tb.Helper()
	line, err := s.ask(words...)
	if err != nil {
		s.tb.Fatalf("redis-server: %s: %v", words[0], err)
	}
	return line
}

// Must sends a command that is to be answered with OK.
func (s *Server) Must(words ...string) {
	s.tb.Helper()
	if got := s.Command(words...); got != "+OK" {
		s.tb.Fatalf("redis-server: %s: %s", strings.Join(words, " "), got)
	}
}

// Await sends a command until it is answered with what ok accepts.
func (s *Server) Await(ok func(answer string) bool, words ...string) {
	s.tb.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last string
	for limit := time.Now().Add(patience); time.Now().Before(limit); <-tick.C {
		answer, err := s.ask(words...)
		if err == nil && ok(answer) {
			return
		}
		last = fmt.Sprint(answer, err)
	}
	s.tb.Fatalf("redis-server: %s: in the end %s", strings.Join(words, " "), last)
}

// ask returns the whole answer if that comes at once; at least its first line.
func (s *Server) ask(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return "", err
	}
	answer := bufio.NewReader(conn)
	line, err := answer.ReadString('\n')
	if err != nil {
		return "", err
	}
	if n := 0; line[0] == '$' { // a long text: INFO and its like
		if _, err := fmt.Sscanf(line, "$%d", &n); err == nil && n > 0 {
			text := make([]byte, n)
			for at := 0; at < n; {
				k, err := answer.Read(text[at:])
				if err != nil {
					return "", err
				}
				at += k
			}
			return string(text), nil
		}
	}
	return strings.TrimSpace(line), nil
}
