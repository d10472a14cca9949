package golang

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	xdstypev3 "github.com/cncf/xds/go/xds/type/v3"
	"github.com/envoyproxy/envoy/contrib/golang/common/go/api"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"mcp-gateway/filter/dynamicmodule/moduletest"
)

const secret = "s3cret"

// broker stands in for the broker's internal API.
type fakeBroker struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
	// before runs before each answer.
	before func(path string)
	// replay is the server's answer to a call that is sent again.
	replay string
}

func newFakeBroker(t *testing.T) *fakeBroker {
	b := &fakeBroker{replay: `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret || r.Host != "mcp-broker" {
			t.Errorf("%s of host %s with authorization %q", r.URL, r.Host, r.Header.Get("Authorization"))
		}
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.asked = append(b.asked, r.URL.Path+" "+string(body))
		before := b.before
		b.mu.Unlock()
		if before != nil {
			before(r.URL.Path)
		}
		switch r.URL.Path {
		case "/v1/table":
			_, _ = w.Write(moduletest.Table())
		case "/v1/resolve":
			fmt.Fprint(w, `{"session":"backend-1","version":"2025-11-25","ttlMs":30000}`)
		case "/v1/replay":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, b.replay)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *fakeBroker) questions(path string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range b.asked {
		if strings.HasPrefix(q, path+" ") {
			n++
		}
	}
	return n
}

// settings is the configuration as JSON, with more members.
func settings(b *fakeBroker, more string) string {
	return `{"path":"/mcp","bodyLimit":1000,"responseLimit":1000,"askTimeout":"5s","internalAddress":"` +
		b.Listener.Addr().String() + `"` + more + `}`
}

func inStruct(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	var s structpb.Struct
	if err := protojson.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

func typed(t *testing.T, text string) *anypb.Any {
	t.Helper()
	a, err := anypb.New(&xdstypev3.TypedStruct{TypeUrl: "mcp-gateway", Value: inStruct(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newPlugin has a configuration that asks b.
func newPlugin(t *testing.T, b *fakeBroker, more string) (*Plugin, *Config, *stats) {
	t.Helper()
	p, st := &Plugin{Secret: secret}, &stats{values: map[string]uint64{}}
	c, err := p.Parse(typed(t, settings(b, more)), st)
	if err != nil {
		t.Fatal(err)
	}
	return p, c.(*Config), st
}

// postTo sends the headers of a POST.
func postTo(e *envoy, extra ...string) {
	e.sendHeaders(false, append([]string{
		":method", "POST", ":path", "/mcp", ":authority", "gw.example", "content-type", "application/json",
		"accept", "application/json, text/event-stream", "mcp-session-id", "s1", "mcp-protocol-version", "2025-11-25",
		"x-mcp-cluster", "forged",
	}, extra...)...)
}

func toolCall(name string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":{"big":1e400}}}`
}

// warmed sends a call of a_tool until it has gone on.
func warmed(t *testing.T, p *Plugin, config any) *envoy {
	t.Helper()
	e := newEnvoy(t, p, config)
	postTo(e)
	e.request.body(toolCall("a_tool"), true)
	e.until("the call has gone on", func() bool { return e.request.ended })
	return e
}

// stats are Envoy's.
type stats struct {
	mu     sync.Mutex
	values map[string]uint64
}

type stat struct {
	of   *stats
	name string
}

func (s *stats) DefineCounterMetric(name string) api.CounterMetric { return stat{s, name} }
func (s *stats) DefineGaugeMetric(name string) api.GaugeMetric     { return stat{s, name} }

func (s *stats) get(name string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[name]
}

func (s stat) Increment(offset int64) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.values[s.name] += uint64(offset)
}

func (s stat) Get() uint64 { return s.of.get(s.name) }

func (s stat) Record(value uint64) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.of.values[s.name] = value
}

// logged is what went to Envoy's log.
var logged envoyLog

type envoyLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *envoyLog) Log(level api.LogType, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, "%s %s\n", level, text)
}

func (l *envoyLog) LogLevel() api.LogType { return api.Info }

func (l *envoyLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestMain(m *testing.M) {
	api.SetCommonCAPI(&logged)
	os.Exit(m.Run())
}
