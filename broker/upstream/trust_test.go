package upstream

import (
	"crypto/x509"
	"encoding/pem"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/rawserver"
	"mcp-gateway/internal/gatewayconfig"
)

// A server's certificate is checked against its own authorities, if it has some, else
// against those of the gateway.
func TestServersMayHaveAuthoritiesOfTheirOwn(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(&rawserver.Server{Hello: rawserver.Hello(rawserver.Everything), Results: rawserver.Empty()})
	t.Cleanup(server.Close)
	own := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	gateways := x509.NewCertPool()
	gateways.AddCert(server.Certificate())
	for name, test := range map[string]struct {
		caCert string
		roots  *x509.CertPool
		want   State
	}{
		"the system's":                {"", nil, Failed},
		"its own":                     {own, nil, Ready},
		"the gateway's":               {"", gateways, Ready},
		"its own, besides gateway's":  {own, x509.NewCertPool(), Ready},
		"the gateway's, unknown ones": {"", x509.NewCertPool(), Failed},
	} {
		changed := make(chan struct{}, 100)
		s, err := New(gatewayconfig.Server{Name: "a", URL: server.URL + "/mcp", CACert: test.caCert, ListTimeout: gatewayconfig.Duration(10 * time.Second)},
			Options{Log: zap.NewNop(), Roots: test.roots, Changed: func() {
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
