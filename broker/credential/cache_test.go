package credential

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/internal/gatewayconfig"
)

type giving struct{ n int }

func (g *giving) RoundTrip(r *http.Request) (*http.Response, error) {
	g.n++
	body := fmt.Sprintf(`{"access_token":"t%d","token_type":"Bearer","expires_in":600}`, g.n)
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// What is kept of callers has a bound; what has expired goes first.
func TestCallersAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := &giving{}
		s := New(gatewayconfig.Server{Exchange: &gatewayconfig.OAuth{TokenURL: "https://idp.test/"}}, Options{Transport: endpoint, Log: zap.NewNop()})
		ask := func(i int) {
			t.Helper()
			if _, err := s.For(t.Context(), &Caller{Token: fmt.Sprint("caller-", i)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range mostCallers + 100 {
			ask(i)
			ask(0) // who comes often stays
		}
		if n := len(s.exchanged.byKey); n != mostCallers || s.exchanged.recent.Len() != n || endpoint.n != mostCallers+100 {
			t.Errorf("%d callers are kept, in a list of %d, after %d requests", n, s.exchanged.recent.Len(), endpoint.n)
		}
		time.Sleep(time.Hour)
		ask(mostCallers + 100)
		if n := len(s.exchanged.byKey); n != 1 {
			t.Errorf("%d callers are kept, want the only one whose token is good", n)
		}
	})
}
