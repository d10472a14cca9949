package configwatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"mcp-gateway/broker/configwatch"
	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// plane is a control plane with a long poll.
type plane struct {
	mu      sync.Mutex
	body    string
	tag     string
	changed chan struct{}
	// rude answers at once, whatever is preferred; status is an error if set.
	rude   bool
	status int
	asked  []http.Header
}

func newPlane(name string) *plane {
	p := &plane{changed: make(chan struct{})}
	p.set(configNamed(name))
	return p
}

func configNamed(name string) string {
	b, _ := json.Marshal(gatewayconfig.Broker{Name: name, Servers: []gatewayconfig.Server{{Name: "s", URL: "http://s/"}}})
	return string(b)
}

func (p *plane) set(body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.body, p.tag = body, fmt.Sprintf("%q", fmt.Sprintf("t%d", len(body)))
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *plane) edit(f func(p *plane)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *plane) questions() []http.Header {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *plane) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Header.Clone())
	body, tag, changed, rude, status := p.body, p.tag, p.changed, p.rude, p.status
	p.mu.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if r.URL.Path != gatewayconfig.PathConfig || r.Method != http.MethodGet {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if tag != "" && r.Header.Get("If-None-Match") == tag {
		if r.Header.Get("Prefer") == "wait=25" && !rude {
			select {
			case <-changed:
			case <-time.After(25 * time.Second):
			case <-r.Context().Done():
				return
			}
		}
		p.mu.Lock()
		body, tag = p.body, p.tag
		p.mu.Unlock()
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("ETag", tag)
	_, _ = w.Write([]byte(body))
}

// watch runs the client and returns what was applied so far.
func watch(t *testing.T, o configwatch.Options) (applied func() []string) {
	t.Helper()
	var mu sync.Mutex
	var names []string
	refuse := o.Apply
	o.Apply = func(b gatewayconfig.Broker) error {
		mu.Lock()
		defer mu.Unlock()
		names = append(names, b.Name)
		if refuse != nil {
			return refuse(b)
		}
		return nil
	}
	if o.Log == nil {
		o.Log = zaptest.NewLogger(t)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- configwatch.Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), names...)
	}
}

func TestChangesArriveWhenTheyHappen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlane("a")
		transport, _ := rawserver.Serve(t, p)
		applied := watch(t, configwatch.Options{URL: "http://plane", Secret: "s3cret", Transport: transport})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(p.questions()); n != 2+10*60/25 {
			t.Errorf("%d questions in 10 minutes of silence", n)
		}
		for _, name := range []string{"bb", "ccc"} {
			p.set(configNamed(name))
			synctest.Wait()
		}
		if diff := cmp.Diff([]string{"a", "bb", "ccc"}, applied()); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		first, later := p.questions()[0], p.questions()[1]
		if first.Get("If-None-Match") != "" || first.Get("Prefer") != "" || first.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("first question %v", first)
		}
		if later.Get("If-None-Match") == "" || later.Get("Prefer") != "wait=25" {
			t.Errorf("second question %v", later)
		}
	})
}

func TestControlPlaneThatComesAndGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlane("a")
		p.status = 500
		transport, _ := rawserver.Serve(t, p)
		applied := watch(t, configwatch.Options{URL: "http://plane", Transport: transport})
		time.Sleep(10 * time.Minute)
		if n := len(p.questions()); n < 120 || n > 260 {
			t.Errorf("%d questions in 10 minutes of errors, want one each 2.5s to 5s", n)
		}
		p.edit(func(p *plane) { p.status = 0 })
		time.Sleep(6 * time.Second)
		if diff := cmp.Diff([]string{"a"}, applied()); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
		// A new control plane with other tags and the same content.
		p.edit(func(p *plane) { p.tag = `"restarted"` })
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"a"}, applied()); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
	})
}

func TestControlPlaneThatDoesNotWaitIsNotHammered(t *testing.T) {
	t.Parallel()
	for name, tag := range map[string]string{"304": `"t"`, "no tag": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPlane("a")
				p.rude, p.tag = true, tag
				transport, _ := rawserver.Serve(t, p)
				applied := watch(t, configwatch.Options{URL: "http://plane", Transport: transport})
				time.Sleep(time.Minute)
				if n := len(p.questions()); n > 62 {
					t.Errorf("%d questions in a minute", n)
				}
				if got := applied(); len(got) != 1 {
					t.Errorf("applied %q", got)
				}
			})
		})
	}
}

func TestConfigurationThatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlane("a")
		transport, _ := rawserver.Serve(t, p)
		applied := watch(t, configwatch.Options{URL: "http://plane", Transport: transport, Apply: func(b gatewayconfig.Broker) error {
			if b.Name == "bad" {
				return errors.New("refused")
			}
			return nil
		}})
		synctest.Wait()
		p.set(configNamed("bad"))
		time.Sleep(10 * time.Minute)
		p.set(`{"name":"typo","servesr":[]}`)
		time.Sleep(10 * time.Minute)
		p.set(`{"name":"` + strings.Repeat("x", 17<<20) + `"}`)
		time.Sleep(10 * time.Second)
		p.set(configNamed("good"))
		time.Sleep(10 * time.Second)
		if diff := cmp.Diff([]string{"a", "bad", "good"}, applied()); diff != "" {
			t.Errorf("applied (-want +got):\n%s", diff)
		}
	})
}

func TestOverRealSockets(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "plane.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	for name, start := range map[string]func(p *plane) (string, func()){
		"unix": func(p *plane) (string, func()) {
			server := &http.Server{Handler: p}
			go func() { _ = server.Serve(listener) }()
			return "unix://" + socket, func() { _ = server.Close() }
		},
		"http": func(p *plane) (string, func()) {
			server := httptest.NewServer(p)
			return server.URL, func() { server.CloseClientConnections(); server.Close() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlane("a")
			url, stop := start(p)
			t.Cleanup(stop)
			got := make(chan string, 10)
			watch(t, configwatch.Options{URL: url, Apply: func(b gatewayconfig.Broker) error {
				got <- b.Name
				return nil
			}})
			for _, want := range []string{"a", "changed"} {
				select {
				case name := <-got:
					if name != want {
						t.Errorf("applied %q, want %q", name, want)
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("%q is not applied", want)
				}
				p.set(configNamed("changed"))
			}
		})
	}
}

func TestSecretDoesNotFollowARedirect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlane("a")
		plane, _ := rawserver.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/config" {
				http.Redirect(w, r, "/elsewhere/v1/config", http.StatusTemporaryRedirect)
				return
			}
			p.ServeHTTP(w, r)
		}))
		watch(t, configwatch.Options{URL: "http://plane", Secret: "x", Transport: plane})
		time.Sleep(time.Minute)
		if got := p.questions(); got != nil {
			t.Errorf("asked elsewhere: %v", got)
		}
	})
}

func TestRunRefusesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "plane:80", "ftp://plane", "unix://", "unix://host/path", "http://", "http://a b"} {
		if err := configwatch.Run(t.Context(), configwatch.Options{URL: url}); err == nil {
			t.Errorf("Run with %q succeeded", url)
		}
	}
}

func TestNothingQuotesThePasswordOfTheURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"ftp://user:s3cret@plane", "http://user:s3cret@plane:port"} {
		if err := configwatch.Run(t.Context(), configwatch.Options{URL: url}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v", err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.DebugLevel)
		watch(t, configwatch.Options{URL: "http://plane/s3cret?key=s3cret", Transport: away{}, Log: zap.New(core)})
		time.Sleep(time.Minute)
		if logged.Len() == 0 {
			t.Fatal("nothing was logged")
		}
		for _, entry := range logged.All() {
			if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "s3cret") || !strings.Contains(text, "nobody is here") {
				t.Errorf("logged %s", text)
			}
		}
	})
}

// away is a control plane that cannot be reached.
type away struct{}

func (away) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nobody is here")
}
