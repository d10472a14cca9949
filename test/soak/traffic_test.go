package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// counts is what the traffic came to.
type counts struct {
	mu       sync.Mutex
	steps    map[string]int
	problems []string // the first of them
}

func (c *counts) add(step string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.steps == nil {
		c.steps = map[string]int{}
	}
	c.steps[step]++
	if err != nil && len(c.problems) < 20 {
		c.problems = append(c.problems, fmt.Sprintf("%s, %s: %v", time.Now().Format(time.TimeOnly), step, err))
	}
}

func (c *counts) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, v := range c.steps {
		n += v
	}
	return n
}

// worker is a client that opens one session after another.
type worker struct {
	s       *soak
	web     *http.Client
	rand    *rand.Rand
	session string
	id      int
}

// newWorker speaks HTTP/2 if i is odd, with many streams on one connection.
func newWorker(s *soak, i int) *worker {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetHTTP1(i%2 == 0)
	tr.Protocols.SetUnencryptedHTTP2(i%2 == 1)
	return &worker{s: s, web: &http.Client{Transport: tr, Timeout: 30 * time.Second}, rand: rand.New(rand.NewPCG(uint64(i), 7))}
}

type step struct {
	name   string
	weight int
	do     func(*worker, context.Context) error
}

var steps = []step{
	{"call", 30, func(w *worker, ctx context.Context) error { return w.wantText(ctx, "fast") }},
	{"event stream", 8, func(w *worker, ctx context.Context) error { return w.wantText(ctx, "events") }},
	{"list", 4, func(w *worker, ctx context.Context) error {
		return w.want(ctx, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, 200, `"a_fast"`)
	}},
	{"client leaves an event stream", 6, func(w *worker, ctx context.Context) error { return w.leave(ctx, "endless") }},
	{"client resets in its body", 6, (*worker).halfBody},
	{"client leaves a cold call", 4, (*worker).leaveCold},
	{"unknown tool", 4, func(w *worker, ctx context.Context) error {
		return w.want(ctx, w.call("a_nope"), 200, `"code":-32602`)
	}},
	{"broken JSON", 4, func(w *worker, ctx context.Context) error { return w.want(ctx, `{"jsonrpc":`, 400, `"code":-32700`) }},
	{"body over the limit", 1, func(w *worker, ctx context.Context) error {
		status, err := w.fill(bodyLimits[1] + 1)
		if err == nil && status != 413 {
			err = fmt.Errorf("status %d, want 413", status)
		}
		return err
	}},
	{"server answers 500", 4, func(w *worker, ctx context.Context) error {
		return w.want(ctx, w.call("a_broken"), 200, `"code":-32603`)
	}},
	{"server resets", 4, func(w *worker, ctx context.Context) error {
		return w.want(ctx, w.call("b_reset"), 200, `"code":-32603`)
	}},
	{"server resets in an event stream", 4, func(w *worker, ctx context.Context) error { return w.wantNoResult(ctx, "cut") }},
	{"server resets in a held-back answer", 4, func(w *worker, ctx context.Context) error { return w.wantNoResult(ctx, "half") }},
	{"GET stream", 4, (*worker).listen},
	{"HEAD", 2, (*worker).head},
}

// run opens sessions, does some steps in each, and ends them.
func (w *worker) run(ctx context.Context) {
	defer w.web.CloseIdleConnections()
	var all []step
	for _, st := range steps {
		all = append(all, slices.Repeat([]step{st}, st.weight)...)
	}
	for ctx.Err() == nil {
		if err := w.open(ctx); err != nil {
			w.s.counts.add("open", err)
			continue
		}
		for range 5 + w.rand.IntN(40) {
			w.step(all[w.rand.IntN(len(all))])
			if ctx.Err() != nil {
				break
			}
		}
		w.step(step{name: "DELETE", do: (*worker).end})
	}
}

// step is not interrupted by the end of the traffic, and not by a new listener.
func (w *worker) step(st step) {
	w.s.reloading.RLock()
	defer w.s.reloading.RUnlock()
	w.s.counts.add(st.name, st.do(w, context.Background()))
}

// open begins a session. A listener that was replaced closes the connection of
// the last one.
func (w *worker) open(ctx context.Context) error {
	w.s.reloading.RLock()
	defer w.s.reloading.RUnlock()
	w.web.CloseIdleConnections()
	w.session = ""
	status, header, body, err := w.post(context.WithoutCancel(ctx), `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"soak","version":"1"}}}`)
	if err != nil || status != 200 {
		return fmt.Errorf("status %d, %w: %s", status, err, body)
	}
	w.session = header.Get("Mcp-Session-Id")
	w.s.counts.add("initialize", nil)
	return nil
}

func (w *worker) end(ctx context.Context) error {
	resp, err := w.send(ctx, http.MethodDelete, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing is read
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

func (w *worker) call(tool string) string {
	w.id++
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":{"x":%q}}}`, w.id, tool, strings.Repeat("x", w.rand.IntN(2000)))
}

func (w *worker) server() string { return [2]string{"a", "b"}[w.rand.IntN(2)] }

// send adds the session. The connection is given up with the body.
func (w *worker) send(ctx context.Context, method, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.s.parts.URL, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Content-Type", "application/json")
	if w.session != "" {
		req.Header.Set("Mcp-Session-Id", w.session)
	}
	return w.web.Do(req)
}

func (w *worker) post(ctx context.Context, body string) (int, http.Header, string, error) {
	resp, err := w.send(ctx, http.MethodPost, body)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text), err
}

func (w *worker) want(ctx context.Context, body string, status int, text string) error {
	got, _, answer, err := w.post(ctx, body)
	if err != nil || got != status || !strings.Contains(answer, text) {
		return fmt.Errorf("status %d, %w: %.300s", got, err, answer)
	}
	return nil
}

// wantText calls a tool that answers with its server's name and its own.
func (w *worker) wantText(ctx context.Context, tool string) error {
	server := w.server()
	body := w.call(server + "_" + tool)
	return w.want(ctx, body, 200, fmt.Sprintf(`"id":%d,"result":{"content":[{"type":"text","text":"%s:%s"}]}`, w.id, server, tool))
}

// wantNoResult calls a tool whose server goes away in its answer: whatever comes
// must not look like a result.
func (w *worker) wantNoResult(ctx context.Context, tool string) error {
	_, _, answer, err := w.post(ctx, w.call(w.server()+"_"+tool))
	if strings.Contains(answer, `"result"`) || err == nil && !strings.Contains(answer, `"error"`) {
		return fmt.Errorf("%w: %.300s", errors.Join(err, errors.New("looks like an answer")), answer)
	}
	return nil
}

// leave goes away once the answer has begun.
func (w *worker) leave(ctx context.Context, tool string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := w.send(ctx, http.MethodPost, w.call(w.server()+"_"+tool))
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // left
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(line, "event:") {
		return fmt.Errorf("%w: %s", err, line)
	}
	return nil
}

// leaveCold goes away while the broker opens the session at the server.
func (w *worker) leaveCold(ctx context.Context) error {
	kept := w.session
	defer func() { w.session = kept }()
	w.session = ""
	status, header, _, err := w.post(ctx, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"soak","version":"1"}}}`)
	if err != nil || status != 200 {
		return fmt.Errorf("initialize: status %d, %w", status, err)
	}
	w.session = header.Get("Mcp-Session-Id")
	short, cancel := context.WithTimeout(ctx, time.Duration(w.rand.IntN(5000))*time.Microsecond)
	_, _, _, _ = w.post(short, w.call(w.server()+"_fast")) // it may come in time
	cancel()
	return w.end(ctx)
}

// halfBody resets the connection before its request is complete.
func (w *worker) halfBody(context.Context) error {
	u, err := url.Parse(w.s.parts.URL)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // reset
	body := w.call("a_fast")
	_, err = fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nMcp-Session-Id: %s\r\nContent-Length: %d\r\n\r\n%s",
		u.Host, w.session, len(body)+w.rand.IntN(100_000), body)
	if err != nil {
		return err
	}
	return conn.(*net.TCPConn).SetLinger(0)
}

// fill posts so many spaces, which are no request.
func (w *worker) fill(size int) (int, error) {
	status, _, _, err := w.post(context.Background(), strings.Repeat(" ", size))
	return status, err
}

// listen opens the session's event stream and leaves it.
func (w *worker) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := w.send(ctx, http.MethodGet, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // left
	if resp.StatusCode != 200 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

func (w *worker) head(ctx context.Context) error {
	resp, err := w.send(ctx, http.MethodHead, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // there is none
	if resp.StatusCode != 405 {
		return fmt.Errorf("status %d, want 405", resp.StatusCode)
	}
	return nil
}

// bystander has an event stream open all the time, which a replaced listener cuts.
func (s *soak) bystander(ctx context.Context) {
	w := newWorker(s, 0)
	defer w.web.CloseIdleConnections()
	w.web.Timeout = 0
	for ctx.Err() == nil {
		if err := w.open(ctx); err != nil {
			s.counts.add("open", err)
			continue
		}
		resp, err := w.send(ctx, http.MethodPost, w.call("a_endless"))
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		s.counts.add("stream through new listeners", nil)
		w.step(step{name: "DELETE", do: (*worker).end})
	}
}
