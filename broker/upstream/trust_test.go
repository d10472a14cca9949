package upstream

import (
	"encoding/pem"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// A server's certificate is checked against its own authorities, if it has some.
func TestServersMayHaveAuthoritiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(&rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Results: rawserver.Empty()})
	t.Cleanup(server.Close)
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for name, test := range map[string]struct {
		caCert string
		want   State
	}{
		"the system's": {"", Failed},
		"its own":      {own, Ready},
	} {
		changed := make(chan struct{}, 100)
		s, err := New(gatewayconfig.Server{Name: "a", URL: server.URL + "/mcp", CACert: test.caCert, ListTimeout: gatewayconfig.Duration(10 * time.Second)},
			Options{Log: zap.NewNop(), Changed: func() {
				select {
				case changed <- struct{}{}:
				default:
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		go s.Run(t.Context())
		deadline := time.After(20 * time.Second)
		for s.Snapshot().State == Connecting {
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("%s: nothing happens", name)
			}
		}
		snap := s.Snapshot()
		if snap.State != test.want {
			t.Errorf("with %s authorities the server is %s: %v", name, snap.State, snap.Err)
		}
		if test.want == Failed && FailureOf(snap.Err) != gatewayconfig.FailureUnreachable {
			t.Errorf("the failure is %s", FailureOf(snap.Err))
		}
	}
	if _, err := New(gatewayconfig.Server{Name: "a", URL: server.URL, CACert: "x"}, Options{Log: zap.NewNop()}); err == nil {
		t.Error("authorities that are none were taken")
	}
}
