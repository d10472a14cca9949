package httpsse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/bridge/httpsse"
	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// old is a server of 2024-11-05 as a test plays it: its stream is written to by
// the test.
type old struct {
	*httptest.Server
	// Endpoint is the first event's data.
	endpoint string
	// status of a POST.
	status int
	out    chan string // raw bytes of the stream; closed at its end

	mu   sync.Mutex
	seen []string
}

func serve(t *testing.T, endpoint string) *old {
	t.Helper()
	o := &old{endpoint: endpoint, status: 202, out: make(chan string, 10)}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *old) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	o.mu.Lock()
	o.seen = append(o.seen, fmt.Sprintf("%s %s key=%s host=%s %s", r.Method, r.URL, r.Header.Get("Key"), r.Host, body))
	o.mu.Unlock()
	if r.Method == http.MethodPost {
		w.WriteHeader(o.status)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	_, _ = fmt.Fprintf(w, ": hi\n\nevent: endpoint\ndata: %s\n\n", o.endpoint)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case text, ok := <-o.out:
			if !ok {
				return
			}
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (o *old) requests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.seen...)
}

func (o *old) connect(t *testing.T) (*httpsse.Conn, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	transport := outbound.NewTransport(5*time.Second, nil)
	t.Cleanup(transport.CloseIdleConnections)
	return httpsse.Connect(ctx, httpsse.Server{
		URL: o.URL + "/sse?k=v", Host: "old.internal", Headers: map[string]string{"Key": "k3y"}, Limit: 1 << 10, Transport: transport,
	})
}

func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func TestMessagesGoBothWays(t *testing.T) {
	t.Parallel()
	o := serve(t, "messages?session=1 ")
	o.out <- "data: early\n\n"
	c, err := o.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	lines, end := make(chan string, 10), make(chan error, 1)
	go func() { end <- c.Receive(func(m []byte) { lines <- string(m) }) }()
	o.out <- "event: message\ndata: {\"a\":\ndata: 1}\n\nevent: other\ndata: x\n\n"
	o.out <- "event: endpoint\ndata: http://evil.example/\n\ndata: last\n\n"
	for _, want := range []string{"early", "{\"a\":\n1}", "last"} {
		if got := next(t, lines); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := c.Send(t.Context(), []byte(`{"b":2}`)); err != nil {
		t.Error(err)
	}
	want := []string{"GET /sse?k=v key=k3y host=old.internal ", `POST /messages?session=1 key=k3y host=old.internal {"b":2}`}
	if got := o.requests(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	close(o.out)
	if err := next(t, end); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("%v", err)
	}
}

func TestEndpointMustBeTheServersOwn(t *testing.T) {
	t.Parallel()
	for endpoint, ok := range map[string]bool{
		"/messages":              true,
		"?x=1":                   true,
		"http://evil.example/":   false,
		"//evil.example/m":       false,
		"https://127.0.0.1/m":    false,
		"http://127.0.0.1:1/m":   false,
		"http://u:p@127.0.0.1/m": false,
		"http://%zz":             false,
	} {
		o := serve(t, endpoint)
		c, err := o.connect(t)
		if (err == nil) != ok {
			t.Errorf("%s: %v", endpoint, err)
		}
		if err == nil {
			c.Close(0)
		}
	}
	o := serve(t, "")
	o.endpoint = o.URL + "/m" // absolute, and the same
	if c, err := o.connect(t); err != nil {
		t.Error(err)
	} else {
		c.Close(0)
	}
}

func TestAnswersThatAreNoStream(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/other" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		},
		"redirect to no URL": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/%zz?k=v")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"page":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: {}\n\n")
		},
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: endpoint\ndata: "+strings.Repeat("x", 2<<10))
		},
	} {
		o := &old{Server: httptest.NewServer(h)}
		if c, err := o.connect(t); err == nil {
			c.Close(0)
			t.Errorf("%s: connected", name)
		} else if strings.Contains(err.Error(), "k=v") {
			t.Errorf("%s: the error holds the query: %v", name, err)
		}
		o.Close()
	}
	// And one that says nothing at all.
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := httpsse.Connect(ctx, httpsse.Server{URL: silent.URL, Transport: http.DefaultTransport}); err == nil {
		t.Error("connected to a silent server")
	}
}

// A Streamable HTTP server that is configured as one of this transport: it
// refuses the GET, or has nothing to say on the stream.
func TestStreamableServerIsTold(t *testing.T) {
	t.Parallel()
	refuse := func(status int, kind string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "{}")
		}
	}
	for name, test := range map[string]struct {
		h    http.HandlerFunc
		told bool
	}{
		"bad request":    {refuse(400, "application/json"), true},
		"not found":      {refuse(404, "text/plain"), true},
		"not allowed":    {refuse(405, "text/plain"), true},
		"not acceptable": {refuse(406, "application/json"), true},
		"JSON":           {refuse(200, "application/json"), true},
		"page":           {refuse(200, "text/html"), false},
		"unauthorized":   {refuse(401, "application/json"), false},
		"in trouble":     {refuse(503, "application/json"), false},
		"silent stream": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, ": alive\n\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport, _ := rawserver.Serve(t, test.h)
				began := time.Now()
				_, err := httpsse.Connect(t.Context(), httpsse.Server{URL: "http://server.test/mcp", Limit: 1 << 10, Transport: transport})
				if err == nil || strings.Contains(err.Error(), "leave out transport: sse") != test.told {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// A server may be silent for as long as it likes once its endpoint is known.
func TestSilenceBehindTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &old{endpoint: "/m", status: 202, out: make(chan string)}
		transport, _ := rawserver.Serve(t, o)
		c, err := httpsse.Connect(t.Context(), httpsse.Server{URL: "http://server.test/sse", Limit: 1 << 10, Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		lines, end := make(chan string, 1), make(chan error, 1)
		go func() { end <- c.Receive(func(m []byte) { lines <- string(m) }) }()
		time.Sleep(time.Hour)
		o.out <- "data: {}\n\n"
		if got := <-lines; got != "{}" {
			t.Errorf("got %q", got)
		}
		c.Close(0)
		<-end
	})
}

func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	for status, ends := range map[int]bool{400: false, 500: false, 307: false, 404: true, 410: true} {
		o := serve(t, "/m")
		o.status = status
		c, err := o.connect(t)
		if err != nil {
			t.Fatal(err)
		}
		end := make(chan error, 1)
		go func() { end <- c.Receive(func([]byte) {}) }()
		if err := c.Send(t.Context(), []byte("{}")); err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: %v", status, err)
		}
		if !ends {
			c.Close(0)
		}
		if err := next(t, end); err == nil {
			t.Errorf("%d: no reason", status)
		}
		if err := c.Send(t.Context(), []byte("{}")); !errors.Is(err, context.Canceled) {
			t.Errorf("%d: after the end: %v", status, err)
		}
	}
}

func TestTooLargeMessageEndsTheStream(t *testing.T) {
	t.Parallel()
	o := serve(t, "/m")
	c, err := o.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	o.out <- "data: " + strings.Repeat("x", 2<<10) + "\n\n"
	if err := c.Receive(func([]byte) { t.Error("received") }); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("%v", err)
	}
}

// Each request carries the token of its source; one that the server does not take
// any more is replaced.
func TestTokens(t *testing.T) {
	t.Parallel()
	o := serve(t, "/messages")
	issued := 0
	idp := roundTripper(func(r *http.Request) (*http.Response, error) {
		issued++
		return &http.Response{
			StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
			Body: io.NopCloser(strings.NewReader(fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":600}`, issued))),
		}, nil
	})
	source := credential.New(gatewayconfig.Server{Name: "old", OAuth: &gatewayconfig.OAuth{TokenURL: "https://idp.test/token"}}, credential.Options{Transport: idp, Log: zap.NewNop()})
	var mu sync.Mutex
	var got []string
	transport := outbound.NewTransport(5*time.Second, nil)
	t.Cleanup(transport.CloseIdleConnections)
	c, err := httpsse.Connect(t.Context(), httpsse.Server{
		URL: o.URL + "/sse", Limit: 1 << 10, Source: source,
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			got = append(got, r.Method+" "+r.Header.Get("Authorization"))
			mu.Unlock()
			return transport.RoundTrip(r)
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(0)
	if err := c.Send(t.Context(), []byte(`{}`)); err != nil {
		t.Error(err)
	}
	o.status = http.StatusUnauthorized // of a token that was had just now: it is not replaced
	if err := c.Send(t.Context(), []byte(`{}`)); err == nil || strings.Contains(err.Error(), "t1") {
		t.Errorf("refused: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"GET Bearer t1", "POST Bearer t1", "POST Bearer t1"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
