package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// refusing fails the test for a request that it gets.
type refusing struct{ t *testing.T }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) {
	r.t.Error("the request was not made by the transport itself")
	return nil, errors.New("refused")
}

func get(t *testing.T, ctx context.Context, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLastingStreamEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "other.example" || r.Header.Get("Accept") != "text/event-stream" || r.URL.RequestURI() != "/mcp?x=1" {
			t.Errorf("server got %s of %s with %v", r.URL, r.Host, r.Header)
		}
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 2 {
			_, _ = fmt.Fprintf(w, "data: %d %s\n\n", i, strings.Repeat("x", 3*lastingBuffer))
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		close(left)
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	r := get(t, ctx, server.URL+"/mcp?x=1")
	r.Host = "other.example"
	r.Header.Set("Accept", "text/event-stream")
	resp, err := NewClient(NewLasting(time.Second, refusing{t})).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s %v", resp.Status, resp.Header)
	}
	got := make([]byte, 2*(len("data: 0 \n\n")+3*lastingBuffer))
	if _, err := io.ReadFull(resp.Body, got); err != nil || !strings.HasPrefix(string(got), "data: 0 x") || !strings.Contains(string(got), "x\n\ndata: 1 x") {
		t.Fatalf("read %.20q..., %v", got, err)
	}
	cancel()
	if _, err := resp.Body.Read(got); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the request: %v, want context.Canceled", err)
	}
	<-left
	_ = resp.Body.Close()
}

func TestLastingAnswerThatEnds(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no stream", http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	resp, err := NewLasting(time.Second, refusing{t}).RoundTrip(get(t, t.Context(), server.URL))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != 404 || string(body) != "no stream\n" || err != nil {
		t.Errorf("got %s %q %v", resp.Status, body, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

// Who waits for a quiet stream is told when it says something, whatever came with
// its header, and when it is over.
func TestAwait(t *testing.T) {
	t.Parallel()
	say := make(chan string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for text := range say {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { say <- "" }() // or the header would wait for the first event
	resp, err := NewLasting(time.Second, refusing{t}).RoundTrip(get(t, ctx, server.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	ready := make(chan struct{}, 1)
	buf := make([]byte, 5)
	for _, text := range []string{"one", "two", "three"} {
		if !Await(resp.Body, func() { ready <- struct{}{} }) {
			t.Fatal("a quiet stream is not awaited")
		}
		select {
		case <-ready:
			t.Fatal("ready before anything was said")
		default:
		}
		say <- text
		<-ready
		if n, err := resp.Body.Read(buf); err != nil || string(buf[:n]) != text {
			t.Fatalf("read %q, %v", buf[:n], err)
		}
	}
	say <- "more than"
	if n, err := resp.Body.Read(buf); err != nil || string(buf[:n]) != "more " {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	if Await(resp.Body, func() { t.Error("ready") }) {
		t.Fatal("awaited, and there is something to read")
	}
	if n, err := resp.Body.Read(buf); err != nil || string(buf[:n]) != "than" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	if !Await(resp.Body, func() { ready <- struct{}{} }) {
		t.Fatal("a quiet stream is not awaited")
	}
	cancel()
	<-ready
	if _, err := resp.Body.Read(buf); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the request: %v, want context.Canceled", err)
	}
	close(say)
}

// What is no socket of a stream's own is read without waiting for it apart.
func TestAwaitOfOthers(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	if Await(strings.NewReader("x"), func() {}) || awaitConn(near, func() {}) {
		t.Error("awaited")
	}
}

// What a server may send before its answer has bounds.
func TestLastingRefusesEndlessHeaders(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"header":   "X: " + strings.Repeat("x", 100) + "\r\n",
		"informal": "HTTP/1.1 103 Early Hints\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer func() { _ = c.Close() }()
				begin := "HTTP/1.1 200 OK\r\n"
				if name == "informal" {
					begin = ""
				}
				for _, err = io.WriteString(c, begin); err == nil; {
					_, err = io.WriteString(c, line)
				}
			}()
			resp, err := NewLasting(time.Second, refusing{t}).RoundTrip(get(t, t.Context(), "http://"+l.Addr().String()))
			if err == nil {
				t.Errorf("got %s, want an error", resp.Status)
			}
			<-ended
		})
	}
}

func TestLastingLeavesTheRestToAnother(t *testing.T) {
	t.Parallel()
	rest := roundTripper(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 299}, nil })
	l := NewLasting(time.Second, rest)
	withBody := get(t, t.Context(), "http://127.0.0.1:1/")
	withBody.Body = io.NopCloser(strings.NewReader("x"))
	for _, r := range []*http.Request{withBody, get(t, t.Context(), "https://127.0.0.1:1/")} {
		if resp, err := l.RoundTrip(r); err != nil || resp.StatusCode != 299 {
			t.Errorf("%s %s: not left to the other transport: %v", r.Method, r.URL, err)
		}
	}
	if _, err := l.RoundTrip(get(t, t.Context(), "http://127.0.0.1:1/")); err == nil {
		t.Error("nobody listens, and there is no error")
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
