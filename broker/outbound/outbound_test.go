package outbound_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"mcp-gateway/broker/outbound"
)

type answering func() (*http.Response, error)

func (f answering) RoundTrip(*http.Request) (*http.Response, error) { return f() }

// What a URL holds behind its host can be a key, and so can its user.
func TestNothingThatIsLoggedHoldsAKey(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		location string
		err      error
		want     string // of the Location; with err, of the error
	}{
		"no answer":             {"", refused, "refused"},
		"no redirect":           {"", nil, ""},
		"redirect":              {"https://user:key@other.test/key?k=key#key", nil, "https://other.test"},
		"redirect to a path":    {"/key", nil, "http://server.test"},
		"redirect to no URL":    {"http://other.test/%zz?key", nil, ""},
		"redirect to no server": {"mailto:key", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := 0
			c := outbound.NewClient(answering(func() (*http.Response, error) {
				sent++
				if test.err != nil {
					return nil, test.err
				}
				h := http.Header{}
				if test.location != "" {
					h.Set("Location", test.location)
				}
				return &http.Response{StatusCode: 307, Header: h, Body: http.NoBody}, nil
			}))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://user:key@server.test/key?k=key", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.Do(r)
			switch {
			case test.err != nil:
				if !errors.Is(err, test.err) || err.Error() != test.want {
					t.Errorf("error %v", err)
				}
			case err != nil:
				t.Errorf("error %v", err)
			default:
				_ = resp.Body.Close()
				if got := resp.Header.Get("Location"); resp.StatusCode != 307 || got != test.want {
					t.Errorf("status %d, Location %q, want %q", resp.StatusCode, got, test.want)
				}
			}
			if sent != 1 {
				t.Errorf("%d requests, want 1: a redirect was followed", sent)
			}
		})
	}
}

func TestCauseOfAURLThatIsNone(t *testing.T) {
	t.Parallel()
	_, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://server.test/key\x00", nil)
	if cause := outbound.Cause(err); cause == nil || strings.Contains(cause.Error(), "key") {
		t.Errorf("error %v", cause)
	}
}

// closable counts how often its idle connections are closed.
type closable struct {
	http.RoundTripper
	closed int
}

func (c *closable) CloseIdleConnections() { c.closed++ }

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	transport := &closable{RoundTripper: outbound.NewTransport(time.Second, nil)}
	outbound.NewClient(transport).CloseIdleConnections()
	if transport.closed != 1 {
		t.Errorf("closed %d times", transport.closed)
	}
}
