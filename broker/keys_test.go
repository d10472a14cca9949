package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"mcp-gateway/internal/gatewayconfig"
)

// The version of the table is shown, and changes with the secrets in it. Whoever sees
// it can try no guess against it, as it is made with a key; replicas have the same.
func TestVersionOfTheTableTellsNoSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		version := func(secret, password string) (version, table string) {
			t.Helper()
			c := config("one")
			c.Servers[0].Headers = map[string]string{"Authorization": password}
			g := newGateway(t, setup{config: c, opts: Options{Secret: secret}}, map[string]http.Handler{"one": raw("a")})
			synctest.Wait()
			return g.broker.Status().Table, g.inside("GET", gatewayconfig.PathTable, "", map[string]string{"Authorization": "Bearer " + secret}).body
		}
		first, table := version("s", "hunter2")
		bare := sha256.Sum256([]byte(strings.Replace(table, first, "", 1)))
		if strings.HasPrefix(hex.EncodeToString(bare[:]), first) || !strings.Contains(table, "hunter2") {
			t.Errorf("anybody can make the version %s of a table", first)
		}
		if same, _ := version("s", "hunter2"); same != first {
			t.Error("replicas with one secret have two versions of a table")
		}
		if next, _ := version("s", "hunter3"); next == first {
			t.Error("another table has the same version")
		}
		if other, _ := version("t", "hunter2"); other == first {
			t.Error("the version does not depend on the key")
		}
		none, _ := version("", "hunter2")
		if other, _ := version("", "hunter2"); other == none {
			t.Error("without a secret the key is one that everybody knows")
		}
	})
}
