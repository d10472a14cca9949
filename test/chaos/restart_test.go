package chaos

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"mcp-gateway/test/chaos/client"
	"mcp-gateway/test/e2e/harness"
)

// stopLimit is what every part promises for its end.
const stopLimit = 5 * time.Second

// drainTime is how long an Envoy goes on after it was told to drain: longer than a
// call's limit (4 s).
const drainTime = 5 * time.Second

// restart ends a part as an orchestrator does, and starts another one.
func (w *world) restart(name string) {
	w.parts[name].process.Stop(stopLimit)
	w.down(name)
	w.up(name)
	wait(w.t, short)
}

// drain restarts an Envoy as an orchestrator does: nothing new is sent to it, it
// tells its clients to leave, and ends after the last call.
func (w *world) drain(e *client.Envoy) {
	e.Away.Store(true)
	r, err := http.Post("http://"+w.admins[e.Name]+"/drain_listeners?graceful&skip_exit", "", nil)
	if err != nil || r.StatusCode != http.StatusOK {
		w.t.Fatalf("drain %s: %v", e.Name, err)
	}
	_ = r.Body.Close()
	wait(w.t, drainTime)
	w.parts[e.Name].process.Stop(stopLimit)
	e.Runs.Add(1)
	w.epochs[e.Name] = 0
	w.up(e.Name)
	w.serves(e)
	e.Away.Store(false)
	wait(w.t, short)
}

// hotRestart starts another Envoy that takes the listening sockets over; the old one
// drains and ends by itself.
func (w *world) hotRestart(e *client.Envoy) {
	old := w.parts[e.Name].process
	w.epochs[e.Name]++
	w.up(e.Name)
	e.Runs.Add(1)
	if code := old.ExitCode(harness.Patience); code != 0 {
		w.t.Errorf("%s: the old process ended with %d", e.Name, code)
	}
	e.Runs.Add(1)
	wait(w.t, short)
}

// tellRedis sends one command of plain words, which must succeed.
func (w *world) tellRedis(words ...string) {
	w.t.Helper()
	conn, err := net.DialTimeout("tcp", w.redis.Addr(), harness.Patience)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		w.t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
		w.t.Fatalf("redis: %s: %q %v", words[0], line, err)
	}
}
