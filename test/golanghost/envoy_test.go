package golanghost

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"

	"mcp-gateway/test/e2e/harness"
)

//go:embed testdata/envoy.yaml
var envoyConfig string

// built has the module and the plugin, made once.
var built = struct {
	sync.Once
	dir string
	err error
}{}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

func libraries(t *testing.T) string {
	t.Helper()
	root := harness.Root(t)
	built.Do(func() {
		built.dir, built.err = os.MkdirTemp("", "golanghost")
		for _, args := range [][]string{
			{"scripts/golanghost.sh", filepath.Join(built.dir, "lib"+Module+".so")},
			{"go", "build", "-buildmode=c-shared", "-o", filepath.Join(built.dir, "libplugin.so"), "./test/golanghost/plugin"},
		} {
			if built.err != nil {
				return
			}
			c := exec.Command(args[0], args[1:]...)
			c.Dir = root
			c.Env = append(os.Environ(), "CGO_ENABLED=1")
			if out, err := c.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("%v: %w\n%s", args, err, out)
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// envoy is a running one.
type envoy struct {
	*harness.Process
	t                *testing.T
	url, addr, admin string
}

// envoyPath is the Envoy that the tests run with.
func envoyPath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("ENVOY"); path != "" {
		return path
	}
	c := exec.Command("scripts/tools.sh", "envoy")
	c.Dir = harness.Root(t)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("find Envoy: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// launch starts Envoy with a configuration of the plugin, which may be refused.
func launch(t *testing.T, config string) *envoy {
	t.Helper()
	return launchWith(t, serve, contrib(t, filepath.Join(libraries(t), "libplugin.so"), "plugin", config), contribRoute(t, "plugin", "of the route"))
}

// launchWith starts Envoy with contrib's configurations of the filter and of the
// route at /route, before a server.
func launchWith(t *testing.T, serve http.HandlerFunc, filter, route *anypb.Any) *envoy {
	t.Helper()
	dir := libraries(t)
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	e := &envoy{t: t, admin: harness.FreeAddr(t), addr: harness.FreeAddr(t)}
	e.url = "http://" + e.addr
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	text := strings.NewReplacer("PORT", port(e.addr), "ADMIN", port(e.admin), "SERVER", port(server.Listener.Addr().String()),
		"EXTENSION", extension(t), "FILTER", inJSON(t, filter), "ROUTE", inJSON(t, route)).Replace(envoyConfig)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Process = harness.Start(t, "envoy", envoyPath(t), []string{
		"--config-path", file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning",
	}, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+dir)
	return e
}

func start(t *testing.T) *envoy {
	t.Helper()
	return launch(t, "of the filter").ready(t)
}

// ready waits until Envoy answers.
func (e *envoy) ready(t *testing.T) *envoy {
	t.Helper()
	harness.Eventually(t, "Envoy answers", func() bool {
		select {
		case <-e.Ended():
			t.Fatal("Envoy ended")
		default:
		}
		resp, err := http.Get("http://" + e.admin + "/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return e
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// serve tells what came, line by line, and adds headers and trailers of its own.
func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Trailer", "x-ended, x-unwanted")
	w.Header().Set("x-unwanted", "1")
	fmt.Fprintf(w, "%s %s\n", r.Method, r.URL.Path)
	for _, name := range []string{"x-config", "x-end", "x-set", "x-unwanted", "x-info", "x-note", "x-state"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(w, "%s: %s\n", name, v)
		}
	}
	for name, v := range r.Trailer {
		fmt.Fprintf(w, "trailer %s: %s\n", strings.ToLower(name), strings.Join(v, ", "))
	}
	fmt.Fprintf(w, "body: %s\n", body)
	w.Header().Set("x-ended", "yes")
}

// answer is what came back.
type answer struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
}

// post sends chunks of a body; without any it is a GET. With trailers they follow.
func (e *envoy) post(path, do string, trailers bool, chunks ...string) (answer, error) {
	e.t.Helper()
	return e.postFor(e.t.Context(), path, do, trailers, chunks...)
}

func (e *envoy) postFor(ctx context.Context, path, do string, trailers bool, chunks ...string) (answer, error) {
	e.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if len(chunks) > 0 {
		r, w := io.Pipe()
		method, body = http.MethodPost, r
		go func() {
			for _, c := range chunks {
				if _, err := io.WriteString(w, c); err != nil {
					return
				}
			}
			_ = w.Close()
		}()
	}
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, body)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("x-do", do)
	req.Header.Set("x-unwanted", "1")
	if trailers {
		req.Trailer = http.Header{"X-Ended": {"yes"}, "X-Unwanted": {"1"}}
	}
	client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	content, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, trailer: resp.Trailer, body: string(content)}, err
}

// running reports whether Envoy has not ended.
func (e *envoy) running() bool {
	select {
	case <-e.Ended():
		return false
	default:
		return true
	}
}

// wantMetric waits until a metric has a value: Envoy's main thread follows soon.
func (e *envoy) wantMetric(name string, want int) {
	e.t.Helper()
	harness.Eventually(e.t, fmt.Sprintf("%s %d", name, want), func() bool { return e.metric(name) == want })
}

// metric is what Envoy shows of one, -1 for nothing.
func (e *envoy) metric(name string) int {
	e.t.Helper()
	resp, err := http.Get("http://" + e.admin + "/stats?format=prometheus&filter=golang")
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	_, value, _ := strings.Cut(string(text), `{name="`+name+`"} `)
	value, _, _ = strings.Cut(value, "\n")
	if n, err := strconv.Atoi(value); err == nil {
		return n
	}
	return -1
}
