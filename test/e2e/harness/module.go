package harness

import (
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// Fragile builds the filter's library so that a request's header
// panic-at has places of it panic (internal/fault), and returns its path
// for --module.
func Fragile(t testing.TB) string {
	t.Helper()
	path, source := filepath.Join(t.TempDir(), "libmcp_gateway.so"), "./filter/dynamicmodule/lib"
	if Golang() {
		source = "./filter/golang/lib"
	}
	build := exec.Command("go", "build", "-buildmode=c-shared", "-tags=panics", "-trimpath", "-ldflags=-s -w", "-o", path, source)
	build.Dir = Root(t)
	build.Env = append(build.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the library that panics: %v\n%s", err, out)
	}
	return path
}

// Stats are the statistics of the module at Envoy's admin interface, by name and
// labels as Prometheus writes them.
func Stats(t testing.TB, admin string) map[string]int {
	t.Helper()
	resp, err := http.Get("http://" + admin + "/stats?format=prometheus&filter=mcp_gateway_")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, m := range statLine.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[3])
		if err != nil {
			t.Fatalf("statistics: %v: %s", err, m[0])
		}
		if m[2] != "" {
			m[1] = labelled(m[2])
		}
		out[m[1]] += n
	}
	return out
}

// A metric of contrib's filter is a label in test/golanghost.
var statLine = regexp.MustCompile(`(?m)^(?:\w*(mcp_gateway_[^ ]*)|\w*golang_(?:counter|gauge)\{name="(mcp_gateway_[^"]*)"\}) (\d+)$`)
