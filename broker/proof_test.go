package broker

import (
	"strings"
	"testing"
	"testing/synctest"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// Whoever comes to the public listener past Envoy has not been asked who it is.
func TestSecretGuardsThePublicListener(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, setup{opts: Options{Secret: "s3cret"}, config: config()}, nil)
		for _, test := range []struct {
			proof  string
			status int
		}{{"Bearer s3cret", 200}, {"none", 403}, {"s3cret", 403}, {"Bearer wrong", 403}} {
			if got := g.request("POST", initializeRequest, map[string]string{mcp.HeaderProof: test.proof}); got.status != test.status || strings.Contains(got.body, "s3cret") {
				t.Errorf("proof %q: %d %s, want %d", test.proof, got.status, got.body, test.status)
			}
			if got := g.request("GET", "", map[string]string{mcp.HeaderProof: test.proof}); (got.status == 403) != (test.status == 403) {
				t.Errorf("GET with proof %q: %d", test.proof, got.status)
			}
		}
		g.path = gatewayconfig.PathBridge + "files"
		if got := g.request("POST", initializeRequest, map[string]string{mcp.HeaderProof: "none"}); got.status != 403 {
			t.Errorf("a bridge without proof: %d", got.status)
		}
	})
}
