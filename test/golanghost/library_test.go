package golanghost

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	xdstypev3 "github.com/cncf/xds/go/xds/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"mcp-gateway/filter/dynamicmodule/moduletest"
	"mcp-gateway/filter/golang/configpb"
	"mcp-gateway/test/e2e/harness"
)

// settings are the library's for an endpoint, which asks a broker.
func settings(path, broker string, limit int) string {
	return fmt.Sprintf(`{"path":%q,"bodyLimit":%d,"responseLimit":%d,"internalAddress":%q,"askTimeout":"5s"}`, path, limit, limit, broker)
}

func packed(t *testing.T, text string, m, inside proto.Message) []byte {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), inside); err != nil {
		t.Fatal(err)
	}
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// library starts Envoy with the gateway's library: its filter at /mcp, configured by
// a TypedStruct, and one of a route at /route by the message of its own. The route
// takes bodies of 1000 bytes, and the filter more than Envoy's buffers hold.
func library(t *testing.T) *envoy {
	t.Helper()
	broker := newBroker(t)
	typed := &xdstypev3.TypedStruct{Value: &structpb.Struct{}}
	filter := packed(t, settings("/mcp", broker, 100_000), typed, typed.GetValue())
	own := &configpb.Filter{}
	route := packed(t, settings("/route", broker, 1000), own, own)
	return launchWith(t, answerSize, contribOf(harness.Built(t, "libmcp_gateway_golang.so"), "mcp_gateway", filter),
		contribRouteOf("mcp_gateway", route)).ready(t)
}

// answerSize is a server whose tool tells its name and how large the call was.
func answerSize(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var call struct{ Params struct{ Name string } }
	if err != nil || json.Unmarshal(body, &call) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"name":%q,"size":%d}}`, call.Params.Name, len(body))
}

// newBroker answers the library's questions, each after a moment.
func newBroker(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(rand.N(3 * time.Millisecond)):
		case <-r.Context().Done():
		}
		if r.URL.Path == "/v1/table" {
			_, _ = w.Write(moduletest.Table())
			return
		}
		_, _ = fmt.Fprint(w, `{"session":"backend","version":"2025-11-25","ttlMs":1}`) // asked for again at once
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// call is a call of a tool, with a session that is not known yet.
func call(path string, padding int) string {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a_tool","arguments":{"x":"` + strings.Repeat("x", padding) + `"}}}`
	return fmt.Sprintf("POST %s HTTP/1.1\r\nhost: gw\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n"+
		"mcp-session-id: s%d\r\nmcp-protocol-version: 2025-11-25\r\ncontent-length: %d\r\n\r\n%s", path, rand.Uint64(), len(body), body)
}

// send writes a request as it is, and reads the answer.
func (e *envoy) send(t *testing.T, request string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // done with it
	_ = conn.SetDeadline(time.Now().Add(harness.Patience))
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRouteHasAConfigurationOfItsOwn(t *testing.T) {
	t.Parallel()
	e := library(t)
	for _, c := range []struct {
		name, request string
		status        int
		want          string
	}{
		{"the filter's endpoint", call("/mcp", 0), 200, `"result":{"name":"tool","size":92}`},
		{"the route's endpoint", call("/route", 0), 200, `"result":{"name":"tool","size":92}`},
		{"none of the filter's", call("/other", 0), 404, "no such endpoint"},
		{"the filter's limit", call("/mcp", 2000), 200, `"size":2092}`},
		{"the route's limit", call("/route", 2000), 413, `"code":-32600`},
	} {
		if status, body := e.send(t, c.request); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %.300s", c.name, status, body)
		}
	}
}

// Envoy's buffers hold 1024 bytes here. Other filters for Go have it answer 413 in its
// own words for a body over that; ours holds bodies by itself, up to its own limit.
func TestBodiesOverEnvoysBufferLimit(t *testing.T) {
	t.Parallel()
	e := library(t)
	if status, body := e.send(t, call("/mcp", 60_000)); status != 200 || !strings.Contains(body, `"size":60092}`) {
		t.Errorf("%d %.300s", status, body)
	}
	status, body := e.send(t, call("/mcp", 100_000))
	if status != 413 || !json.Valid([]byte(body)) || !strings.Contains(body, `"code":-32600`) {
		t.Errorf("%d %.300s", status, body)
	}
}

// Streams that end while a question is under way for them, at any moment of it: the
// host ends Envoy if the library uses one that is gone.
func TestStreamsThatEndAtAnyTime(t *testing.T) {
	t.Parallel()
	e := library(t)
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range 150 {
				conn, err := net.Dial("tcp", e.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = conn.Write([]byte(call("/mcp", 0)))
				_ = conn.SetReadDeadline(time.Now().Add(rand.N(6 * time.Millisecond)))
				_, _ = conn.Read(make([]byte, 100))
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
			}
		})
	}
	clients.Wait()
	if status, body := e.send(t, call("/mcp", 0)); status != 200 {
		t.Errorf("after that: %d %s", status, body)
	}
	e.wantMetric("mcp_gateway_streams", 0)
	if n := e.metric("mcp_gateway_panics.phase.answer"); n > 0 {
		t.Errorf("%d panics", n)
	}
}

// Go lets each request go in the end: what Envoy keeps for it does not grow.
func TestRequestsAreLetGo(t *testing.T) {
	t.Parallel()
	const streams, batch, most = 100_000, 50, 10_000
	e := library(t)
	const request = "PUT /mcp HTTP/1.1\r\nhost: gw\r\ncontent-length: 0\r\n\r\n"
	ctx, done := context.WithCancel(t.Context())
	peak := make(chan int)
	go func() {
		most := 0
		for ctx.Err() == nil {
			most = max(most, e.metric("requests"))
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		peak <- most
	}()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			conn, err := net.Dial("tcp", e.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close() //nolint:errcheck // done with it
			_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
			r := bufio.NewReader(conn)
			for range streams / batch / 4 {
				if _, err := conn.Write([]byte(strings.Repeat(request, batch))); err != nil {
					t.Error(err)
					return
				}
				for range batch {
					resp, err := http.ReadResponse(r, nil)
					if err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
						t.Errorf("%v %v", resp, err)
						return
					}
					if _, err := io.Copy(io.Discard, resp.Body); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	clients.Wait()
	done()
	got := <-peak
	t.Logf("at most %d of %d requests at one time", got, streams)
	if got > most || got < 1 {
		t.Errorf("%d requests were kept at one time, want no more than %d of %d", got, most, streams)
	}
	e.wantMetric("mcp_gateway_streams", 0)
}
