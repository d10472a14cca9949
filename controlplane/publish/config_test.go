package publish

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"mcp-gateway/controlplane/metrics"
	"mcp-gateway/internal/gatewayconfig"
)

// question starts a GET of a broker and returns where its answer comes.
func question(ctx context.Context, c *Config, tag, prefer string) <-chan *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, gatewayconfig.PathConfig, nil)
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	r.Header.Set("Prefer", prefer)
	answer := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		answer <- w
	}()
	return answer
}

func published(t *testing.T, c *Config, name string) {
	t.Helper()
	if _, err := c.Publish(gatewayconfig.Broker{Name: name}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

// open reports whether the question is unanswered once everything has settled.
func open(answer <-chan *httptest.ResponseRecorder) bool {
	synctest.Wait()
	return len(answer) == 0
}

func TestConfigWaitsAsLongAsAsked(t *testing.T) {
	t.Parallel()
	for prefer, want := range map[string]time.Duration{
		"wait=20":                  20 * time.Second,
		"respond-async, wait=5":    5 * time.Second,
		"wait=100000":              longestWait,
		"":                         0,
		"wait=soon":                0,
		"wait=-1":                  0,
		"wait=9999999999999999999": 0,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := NewConfig("", metrics.New())
			published(t, c, "one")
			tag := (<-question(t.Context(), c, "", "")).Header().Get("ETag")
			began := time.Now()
			w := <-question(t.Context(), c, tag, prefer)
			if took := time.Since(began); w.Code != http.StatusNotModified || took != want || w.Header().Get("ETag") != tag {
				t.Errorf("Prefer: %s: %d after %s, want 304 after %s", prefer, w.Code, took, want)
			}
		})
	}
}

func TestConfigAnswersWithTheChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewConfig("", metrics.New())
		first := question(t.Context(), c, "", "wait=60") // a broker that is up before the control plane
		if !open(first) {
			t.Fatal("answered without a configuration")
		}
		published(t, c, "one")
		tag := (<-first).Header().Get("ETag")

		second := question(t.Context(), c, tag, "wait=60")
		published(t, c, "one")
		if !open(second) {
			t.Fatal("answered without a change")
		}
		published(t, c, "two")
		if w := <-second; w.Code != http.StatusOK || w.Header().Get("ETag") == tag || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	})
}

func TestConfigForgetsBrokersThatWentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := NewConfig("", metrics.New())
		ctx, cancel := context.WithCancel(t.Context())
		answer := question(ctx, c, "", "wait=60")
		if !open(answer) {
			t.Fatal("answered without a configuration")
		}
		cancel()
		if open(answer) {
			t.Error("still waiting")
		}
	})
}

func TestConfigRefusesOtherMethodsAndPaths(t *testing.T) {
	t.Parallel()
	c := NewConfig("", metrics.New())
	published(t, c, "one")
	for _, test := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, gatewayconfig.PathConfig, http.StatusMethodNotAllowed},
		{http.MethodGet, gatewayconfig.PathConfig + "/", http.StatusNotFound},
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, gatewayconfig.PathConfig, http.StatusOK},
	} {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		if w.Code != test.want {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, w.Code, test.want)
		}
	}
}
