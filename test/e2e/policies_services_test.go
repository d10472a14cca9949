package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"mcp-gateway/internal/mcp"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// asked is what a service was asked about: "method server tool".
type asked struct {
	mu   sync.Mutex
	what []string
}

func (a *asked) note(words ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.what = append(a.what, strings.Join(words, " "))
}

func (a *asked) has(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.what {
		if w == what {
			return true
		}
	}
	return false
}

// serveGRPC runs a service until the test ends and returns its address.
func serveGRPC(t *testing.T, register func(*grpc.Server)) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", harness.FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	register(s)
	go s.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(s.Stop)
	return l.Addr().String(), s.Stop
}

// authorizer refuses cal_delete_event with an object, and notes what it was asked.
type authorizer struct {
	authv3.UnimplementedAuthorizationServer
	asked
}

const denial = `{"policy":"no deleting"}`

func (a *authorizer) Check(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	known := r.GetAttributes().GetMetadataContext().GetFilterMetadata()["mcp"].GetFields()
	a.note(known["method"].GetStringValue(), known["server"].GetStringValue(), known["tool"].GetStringValue())
	if known["tool"].GetStringValue() == "cal_delete_event" {
		return &authv3.CheckResponse{
			Status: &status.Status{Code: int32(codes.PermissionDenied)},
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden},
				Body:   denial,
				Headers: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{
					Key: "x-policy", Value: "no-deleting",
				}}},
			}},
		}, nil
	}
	return &authv3.CheckResponse{Status: &status.Status{Code: int32(codes.OK)}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}}}, nil
}

// A service that is asked knows the method, the server and the tool; what it says
// reaches the client, and while it is away nothing passes.
func TestPolicyOfAService(t *testing.T) {
	t.Parallel()
	type service struct {
		more string
		*asked
		stop func()
	}
	services := map[string]func(t *testing.T) service{
		"gRPC": func(t *testing.T) service {
			a := new(authorizer)
			addr, stop := serveGRPC(t, func(s *grpc.Server) { authv3.RegisterAuthorizationServer(s, a) })
			return service{filtersOf(t, "authz-grpc", "authz.internal:9191", addr), &a.asked, stop}
		},
		"HTTP": func(t *testing.T) service {
			a := new(asked)
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				tool := r.Header.Get("X-Authz-Tool")
				if !strings.HasPrefix(r.URL.Path, "/check") {
					tool = "asked at " + r.URL.Path
				}
				a.note(r.Header.Get("X-Authz-Method"), r.Header.Get("X-Authz-Server"), tool)
				if tool == "cal_delete_event" {
					w.Header().Set("X-Policy", "no-deleting")
					w.WriteHeader(http.StatusForbidden)
					_, _ = w.Write([]byte(denial))
				}
			})}
			l, err := net.Listen("tcp", harness.FreeAddr(t))
			if err != nil {
				t.Fatal(err)
			}
			go s.Serve(l) //nolint:errcheck // ends with the test
			stop := func() { _ = s.Close() }
			t.Cleanup(stop)
			return service{filtersOf(t, "authz-http", "authz.internal:9192", l.Addr().String()), a, stop}
		},
	}
	for name, start := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service, cal := start(t), calendar(t, mcpserver.Dual)
			g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(cal, "cal")}, More: service.more})
			c := harness.Connect(t, g.URL)
			wantTool(t, c, "cal_list_events", "cal", "list_events")
			if r := modernCall(harness.NewClient(t, g.URL), "cal_list_events"); !ok(r) {
				t.Errorf("a stateless client: %s", r)
			}
			for _, r := range []harness.Response{
				c.Post(call("1", "cal_delete_event")), modernCall(harness.NewClient(t, g.URL), "cal_delete_event"),
			} {
				wantDenied(t, r, 403, mcp.CodeInvalidRequest, "1", denial)
				if r.Header.Get("X-Policy") != "no-deleting" && name == "gRPC" {
					t.Errorf("headers of a refusal: %v", r.Header)
				}
			}
			for _, what := range []string{"initialize  ", "tools/call cal cal_list_events", "tools/call cal cal_delete_event"} {
				if !service.has(what) {
					t.Errorf("not asked about %q, but %q", what, service.what)
				}
			}
			for _, r := range cal.Received("tools/call") {
				if r.Name == "delete_event" {
					t.Errorf("reached the server: %s", r.Body)
				}
			}

			service.stop()
			reached := len(cal.Received("tools/call"))
			r := c.Post(call("1", "cal_list_events"))
			checkError(t, r, 503, mcp.CodeInternalError, "1")
			if r.Header.Get("Retry-After") == "" || len(cal.Received("tools/call")) != reached {
				t.Errorf("while the service is away: %v %s", r.Header, r)
			}
		})
	}
}

// limiter lets each tool be called twice.
type limiter struct {
	ratelimitv3.UnimplementedRateLimitServiceServer
	mu    sync.Mutex
	calls map[string]int
}

func (l *limiter) ShouldRateLimit(_ context.Context, r *ratelimitv3.RateLimitRequest) (*ratelimitv3.RateLimitResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	code := ratelimitv3.RateLimitResponse_OK
	for _, d := range r.Descriptors {
		for _, e := range d.Entries {
			if l.calls[e.Key+"="+e.Value]++; l.calls[e.Key+"="+e.Value] > 2 {
				code = ratelimitv3.RateLimitResponse_OVER_LIMIT
			}
		}
	}
	return &ratelimitv3.RateLimitResponse{OverallCode: code}, nil
}

func TestPolicyOfARateLimitService(t *testing.T) {
	t.Parallel()
	l := &limiter{calls: map[string]int{}}
	addr, stop := serveGRPC(t, func(s *grpc.Server) { ratelimitv3.RegisterRateLimitServiceServer(s, l) })
	cal := calendar(t, mcpserver.Legacy)
	g := harness.Run(t, harness.Config{Servers: []harness.Server{behind(cal, "cal")}, More: filtersOf(t, "limit-service", "limits.internal:8081", addr)})
	c := harness.Connect(t, g.URL)
	for _, name := range []string{"list_events", "delete_event"} {
		for range 2 {
			wantTool(t, c, "cal_"+name, "cal", name)
		}
		r := c.Post(call("1", "cal_"+name))
		checkError(t, r, 429, mcp.CodeInternalError, "1")
		if r.Header.Get("Retry-After") == "" {
			t.Errorf("headers of a refusal: %v", r.Header)
		}
	}
	stop()
	r := c.Post(call("1", "cal_list_events"))
	checkError(t, r, 500, mcp.CodeInternalError, "1")
}
