package scale

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/test/e2e/harness"
)

// crowd are clients of one or more gateways that share their sessions.
type crowd struct {
	t        testing.TB
	urls     []string
	http     *http.Client
	sessions []string // by client
	meter    *meter   // of what a wave costs; nil for none
}

func newCrowd(t testing.TB, clients int, urls ...string) *crowd {
	t.Helper()
	transport := &http.Transport{
		DialContext:        (&net.Dialer{Timeout: harness.Patience}).DialContext,
		DisableCompression: true, MaxIdleConnsPerHost: 16 << 10, MaxIdleConns: 32 << 10,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &crowd{t: t, urls: urls, http: &http.Client{Transport: transport, Timeout: time.Minute}, sessions: make([]string, clients)}
}

// send posts a message for a client and returns the answer.
func (c *crowd) send(client, gateway int, body string) (string, http.Header, error) {
	r, err := http.NewRequest(http.MethodPost, c.urls[gateway%len(c.urls)], strings.NewReader(body))
	if err != nil {
		return "", nil, err
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	if id := c.sessions[client]; id != "" {
		r.Header.Set("Mcp-Session-Id", id)
		r.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("status %d: %.200s", resp.StatusCode, text)
	}
	return string(text), resp.Header, err
}

// wave has all clients do f at once, n times each, and prints how long it took.
func (c *crowd) wave(what string, n int, f func(client, i int) error) {
	c.t.Helper()
	var mu sync.Mutex
	var times []time.Duration
	var failed []error
	start := make(chan struct{})
	var all sync.WaitGroup
	var before cost
	if c.meter != nil {
		before = c.meter.read()
	}
	for client := range c.sessions {
		for i := range n {
			all.Go(func() {
				<-start
				began := time.Now()
				err := f(client, i)
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				times = append(times, took)
				if err != nil {
					failed = append(failed, fmt.Errorf("client %d: %w", client, err))
				}
			})
		}
	}
	began := time.Now()
	close(start)
	all.Wait()
	took := time.Since(began)
	figure(c.t, fmt.Sprintf("%s, %d at once", what, len(times)), "%d errors, all in %v, p50 %v, p99 %v", len(failed),
		rounded(took), rounded(quantile(times, .5)), rounded(quantile(times, .99)))
	if c.meter != nil {
		figure(c.t, "  "+what, "%s", c.meter.since(before, len(times)))
	}
	for _, err := range failed[:min(5, len(failed))] {
		c.t.Error(err)
	}
}

func (c *crowd) initialize(client, gateway int, name string) error {
	_, header, err := c.send(client, gateway, initializeOf(name))
	if err == nil && header.Get("Mcp-Session-Id") == "" {
		err = fmt.Errorf("initialize: no session")
	}
	if err == nil {
		c.sessions[client] = header.Get("Mcp-Session-Id")
	}
	return err
}

// call calls a tool, which must answer from the session of that very client.
func (c *crowd) call(client, gateway int, server, name string) error {
	text, _, err := c.send(client, gateway, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"`+server+`_tool_0","arguments":{"text":"x"}}}`)
	if err == nil && !strings.Contains(text, `"text":"`+server+" "+name+`"`) {
		err = fmt.Errorf("call of %s: %.200s", server, text)
	}
	return err
}

// behind is a server's entry in a gateway's file.
func (s *server) behind(extra ...string) harness.Server {
	return harness.Server{Name: s.name, URL: s.url, Prefix: s.name + "_", Extra: extra}
}

// Many clients come at once, and each calls all servers for the first time, through
// two gateways that share a Redis: nobody sees an error, and every pair of session
// and server has exactly one backend session, however many calls have met it and
// wherever.
func TestColdStorm(t *testing.T) {
	clients := size(t, "CLIENTS", 2000, 500)
	store := redistest.Start(t)
	var servers []*server
	config := harness.Config{Sessions: []string{"store: " + store.URL()}}
	for i := range 3 {
		s := serve(t, fmt.Sprintf("s%d", i), 10)
		servers = append(servers, s)
		config.Servers = append(config.Servers, s.behind())
	}
	servers[2].slow = 5 * time.Millisecond
	a, b := harness.Run(t, config), harness.Run(t, config)
	c := newCrowd(t, clients, a.URL, b.URL)
	c.meter = newMeter(t, store.Addr(), a, b)
	name := func(client int) string { return fmt.Sprintf("client-%d", client) }

	c.wave("cold storm: initialize", 1, func(client, _ int) error { return c.initialize(client, client, name(client)) })
	c.wave("cold storm: tools/list", 1, func(client, _ int) error {
		text, _, err := c.send(client, client+1, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if n := strings.Count(text, `"inputSchema"`); err == nil && n != 30 {
			err = fmt.Errorf("%d tools of 30", n)
		}
		return err
	})
	// The fourth call meets the first one's server, at the other gateway.
	first := func(client, i int) error { return c.call(client, client+i, servers[i%3].name, name(client)) }
	c.wave("cold storm: first calls at 3 servers, and one again elsewhere", 4, first)
	c.wave("cold storm: the same, warm", 4, first)
	for _, s := range servers {
		all, twice := s.sessions("client-")
		if all != clients || len(twice) > 0 {
			t.Errorf("%s: %d sessions for %d clients, more than one for %v", s.name, all, clients, twice[:min(5, len(twice))])
		}
		if most := s.most.Load(); most > 2*32+2 {
			t.Errorf("%s: %d initialize at one time, want at most 32 of each gateway", s.name, most)
		}
	}
	figure(t, fmt.Sprintf("cold storm: backend sessions for %d pairs", 3*clients), "exactly one each; at most %d initialize at once", servers[2].most.Load())
	c.measureEnd(servers)
}

// measureEnd ends all sessions, which ends them at all servers.
func (c *crowd) measureEnd(servers []*server) {
	c.t.Helper()
	c.wave("cold storm: DELETE", 1, func(client, _ int) error { return c.end(client) })
	harness.Eventually(c.t, "end of all backend sessions", func() bool {
		for _, s := range servers {
			if s.ended() < len(c.sessions) {
				return false
			}
		}
		return true
	})
}

// end deletes a client's session.
func (c *crowd) end(client int) error {
	r, err := http.NewRequest(http.MethodDelete, c.urls[0], nil)
	if err != nil {
		return err
	}
	r.Header.Set("Mcp-Session-Id", c.sessions[client])
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("DELETE: %s", resp.Status)
	}
	return nil
}
