package upstream

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// Errors are logged: what a URL holds behind its host can be a key.
func TestErrorsHoldNoURL(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	location := func(to string) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {to}}, Body: http.NoBody}, nil
		}
	}
	for name, test := range map[string]struct {
		answer func() (*http.Response, error)
		want   string
	}{
		"no answer":             {func() (*http.Response, error) { return nil, refused }, "refused"},
		"redirect":              {location("https://user:key1@other.test/key2?k=key3#key4"), `redirects to "https://other.test"`},
		"redirect to a path":    {location("/key1"), `redirects to "http://server.test"`},
		"redirect to no URL":    {location("http://other.test/%zz?key1"), "redirects"},
		"redirect to no server": {location("mailto:key1"), "redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, answering(test.answer), func(cfg *gatewayconfig.Server, _ *Options) { cfg.URL += "/key0?key=key0" })
			_, err := s.Request(t.Context(), Session{"s", mcp.LatestLegacy}, "x", nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "key") {
				t.Errorf("error %v", err)
			}
			if name == "no answer" && (!errors.Is(err, refused) || !errors.As(err, new(unreachable))) {
				t.Errorf("error %#v", err)
			}
		})
	}
}

type answering func() (*http.Response, error)

func (f answering) RoundTrip(*http.Request) (*http.Response, error) { return f() }
