package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// The filter's metrics have the names in docs/metrics.md where Envoy is scraped.
func TestMetricsOfTheFilterAreScrapedAsDocumented(t *testing.T) {
	t.Parallel()
	if harness.Golang() {
		t.Skip("test/golanghost has names of its own")
	}
	admin := harness.FreeAddr(t)
	g := harness.Run(t, harness.Config{}, "--admin", admin)
	if r := harness.NewClient(t, g.URL).Post(`{}`); r.Status != http.StatusBadRequest {
		t.Errorf("what is no message: %s", r)
	}
	page, err := os.ReadFile(filepath.Join(harness.Root(t), "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(envoy_\\w+)` \\|").FindAllStringSubmatch(string(page), -1) {
		if m[1] != "envoy_mcp_gateway_mcp_gateway_panics" { // none has happened
			documented = append(documented, m[1])
		}
	}
	slices.Sort(documented)
	family := regexp.MustCompile(`(?m)^# TYPE (\S*mcp_gateway_\S*) `)
	var got []string
	harness.Eventually(t, "all metrics of the filter", func() bool {
		resp, err := http.Get("http://" + admin + "/stats?format=prometheus&filter=mcp_gateway_")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close() //nolint:errcheck // read to its end
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, m := range family.FindAllStringSubmatch(string(text), -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		return len(got) >= len(documented)
	})
	if !slices.Equal(got, documented) || len(got) == 0 {
		t.Errorf("scraped %q, documented %q", got, documented)
	}
}
