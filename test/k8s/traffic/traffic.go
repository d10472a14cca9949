// Package traffic calls an endpoint while a test changes what there is behind it:
// tools again and again, and one for as long as that lasts. Only tests import it.
package traffic

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// Traffic goes on until it is ended.
type Traffic struct {
	t       testing.TB
	calls   atomic.Int64
	stop    context.CancelFunc
	done    chan error
	long    *harness.Stream
	release chan struct{}
}

// Begin calls short all the time, and own of server once under its exposed name long:
// from now on that answers with an event every 20 ms until the end. connect returns a
// client that may call.
func Begin(t testing.TB, connect func() *harness.Client, server *mcpserver.Server, own, long, short string) *Traffic {
	t.Helper()
	x := &Traffic{t: t, done: make(chan error, 1), release: make(chan struct{})}
	server.Handle("tools/call", own, x.events)
	x.long = connect().Open(http.MethodPost, call(7, long))
	ctx, stop := context.WithCancel(t.Context())
	x.stop = stop
	c := connect()
	go func() { x.done <- x.callOn(ctx, c, short) }()
	return x
}

func call(id int, tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{}}}`, id, tool)
}

// events answers a call; the result says how many came before it.
func (x *Traffic) events(e *mcpserver.Exchange) {
	stream := e.Stream()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
			stream.Send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%d}}`, n))
		case <-x.release:
			stream.Send(e.ResultMessage(fmt.Sprintf(`{"content":[],"_meta":{"sent":%d}}`, n)))
			return
		case <-e.Context().Done():
			return
		}
	}
}

// callOn calls a tool until ctx ends, and returns the first call that is not answered.
func (x *Traffic) callOn(ctx context.Context, c *harness.Client, tool string) error {
	for ctx.Err() == nil {
		r, err := c.Try(context.WithoutCancel(ctx), http.MethodPost, call(1, tool))
		if err != nil || !strings.Contains(r.Message(), `"result"`) {
			return fmt.Errorf("call %d: %v %s", x.calls.Load(), err, r)
		}
		x.calls.Add(1)
	}
	return nil
}

// End ends both, and fails the test if a call was not answered or an event is missing.
func (x *Traffic) End() {
	x.t.Helper()
	x.stop()
	if err := <-x.done; err != nil || x.calls.Load() < 20 {
		x.t.Errorf("of the calls meanwhile %d were answered, then: %v", x.calls.Load(), err)
	}
	close(x.release)
	events := x.long.End()
	if n := len(events); n < 10 || !strings.Contains(events[n-1], fmt.Sprintf(`"sent":%d`, n-1)) {
		x.t.Errorf("of the long call's events %d came: %s", n, strings.Join(events[max(0, n-1):], ""))
	}
	x.t.Logf("meanwhile %d calls were answered, and a stream had %d events", x.calls.Load(), len(events))
}

// Called waits until a tool is called, and returns for how long: the brokers may know a
// server before Envoy has its route.
func Called(t testing.TB, c *harness.Client, tool string) time.Duration {
	t.Helper()
	began := time.Now()
	var r harness.Response
	defer func() {
		if t.Failed() {
			t.Logf("the last answer: %s", r)
		}
	}()
	harness.Eventually(t, "a call of "+tool, func() bool {
		r = c.Post(call(1, tool))
		return strings.Contains(r.Message(), `"result"`)
	})
	return time.Since(began)
}

// soon is within what an added server's tools are to be called, as a rule: on a busy
// machine one of several may take longer.
const soon = 2 * time.Second

// CheckSoon fails the test if it took too long until the tools of added servers were
// called.
func CheckSoon(t testing.TB, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("servers added: %v until the first call", took)
	if middle := took[len(took)/2]; middle > soon {
		t.Errorf("an added server was called after %v, want %v", middle, soon)
	}
}
