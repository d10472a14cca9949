package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"mcp-gateway/controlplane/metrics"
	"mcp-gateway/internal/gatewayconfig"
)

// longestWait bounds how long a broker may have its question kept open.
const longestWait = time.Minute

// Config serves the broker's configuration at gatewayconfig.PathConfig. A
// broker that has the current one (If-None-Match) may ask to wait for the next
// with "Prefer: wait=SECONDS" (RFC 7240, section 4.3); 304 tells that none came.
//
// It also answers /healthz, and /readyz with 200 once there is a configuration: until
// then another replica serves better.
type Config struct {
	secret  string
	metrics *metrics.Metrics

	mu      sync.Mutex
	body    []byte
	tag     string
	changed chan struct{} // closed when body is replaced
	lack    string        // why there is none
	// since is when that began of which body was made, and given who has got it and
	// has not asked again: a broker is known by its connection.
	since time.Time
	given map[string]bool
}

// NewConfig returns a Config without configuration: brokers wait for one.
// secret guards it; empty for none, which is right on a unix socket only.
func NewConfig(secret string, m *metrics.Metrics) *Config {
	return &Config{secret: secret, metrics: m, changed: make(chan struct{}), given: map[string]bool{}, lack: "nothing is read yet"}
}

// Lack says why there is no configuration, for /readyz.
func (c *Config) Lack(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lack = why
}

// Publish replaces the configuration and returns its digest. It is of the content:
// replicas of the control plane that publish the same give it the same one. since is
// when the change was that led to it.
func (c *Config) Publish(b gatewayconfig.Broker, since time.Time) (digest string, err error) {
	b.Digest = ""
	body, err := json.Marshal(b)
	if err != nil {
		return "", fmt.Errorf("publish: encode the broker's configuration: %w", err)
	}
	sum := sha256.Sum256(body)
	b.Digest = hex.EncodeToString(sum[:8])
	if body, err = json.Marshal(b); err != nil {
		return "", fmt.Errorf("publish: encode the broker's configuration: %w", err)
	}
	tag := `"` + b.Digest + `"`
	c.mu.Lock()
	defer c.mu.Unlock()
	if tag == c.tag {
		return b.Digest, nil
	}
	c.body, c.tag, c.since = body, tag, since
	close(c.changed)
	c.changed = make(chan struct{})
	clear(c.given)
	c.metrics.Published(b.Digest)
	return b.Digest, nil
}

func (c *Config) current() (body []byte, tag string, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.body, c.tag, c.changed
}

// give notes that a broker gets the configuration with a tag.
func (c *Config) give(broker, tag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tag == c.tag {
		c.given[broker] = true
	}
}

// took notes that a broker asks for what comes after the configuration with a tag: if
// it was given that, it has taken it by now.
func (c *Config) took(broker, tag string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tag == c.tag && c.given[broker] {
		delete(c.given, broker)
		c.metrics.Acknowledged(time.Since(c.since))
	}
}

func (c *Config) serveReady(w http.ResponseWriter) {
	c.mu.Lock()
	tag, lack := c.tag, c.lack
	c.mu.Unlock()
	if tag == "" {
		http.Error(w, "no configuration: "+lack, http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// ServeHTTP implements http.Handler.
func (c *Config) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/healthz":
		_, _ = w.Write([]byte("ok\n"))
		return
	case r.URL.Path == gatewayconfig.PathReady:
		c.serveReady(w)
		return
	case r.URL.Path != gatewayconfig.PathConfig:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	case !gatewayconfig.Admits(r.Header.Get("Authorization"), c.secret):
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "the configuration needs its secret", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Cache-Control", "no-store") // it holds secrets
	has := r.Header.Get("If-None-Match")
	c.took(r.RemoteAddr, has)
	timeout := time.NewTimer(wait(r))
	defer timeout.Stop()
	defer c.metrics.BrokerWaits()()
	for {
		body, tag, changed := c.current()
		if tag != "" && has != tag {
			c.give(r.RemoteAddr, tag)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("ETag", tag)
			_, _ = w.Write(body)
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-timeout.C:
			if tag == "" {
				http.Error(w, "no configuration yet", http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("ETag", tag)
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
}

// wait reads the preference; none means not to wait.
func wait(r *http.Request) time.Duration {
	for _, preference := range strings.Split(r.Header.Get("Prefer"), ",") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(preference), "wait="); ok {
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				return min(time.Duration(n)*time.Second, longestWait)
			}
		}
	}
	return 0
}
