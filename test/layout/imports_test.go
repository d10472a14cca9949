package layout

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "mcp-gateway/"

// rule says what the packages that match Of may import besides the standard
// library, tests apart. A pattern is a package of this module without the
// module's name, or a foreign one; "/..." also takes what is below.
type rule struct {
	of  string
	may []string
	not []string // of the standard library
}

// rules: the first that matches a package holds. Imports point down only: from
// mains to adapters to cores to internal. The three paths never meet but in
// internal/gatewayconfig and in the main that runs them all.
var rules = []rule{
	{of: "internal/mcp"},
	{of: "internal/child", not: []string{"net", "net/http"}},
	{of: "internal/tag", may: []string{"internal/jsonrpc"}, not: []string{"net", "net/http", "os", "os/exec"}},
	{of: "internal/fromserver", may: []string{"internal/jsonrpc", "internal/mcp", "internal/resourceuri", "internal/tag"}, not: []string{"net", "net/http", "os", "os/exec"}},
	{of: "internal/modern", may: []string{"internal/jsonrpc", "internal/mcp"}, not: []string{"net", "net/http", "os", "os/exec"}},
	{of: "internal/mcpparam", may: []string{"internal/jsonrpc", "internal/mcp", "internal/modern"}, not: []string{"net", "net/http", "os", "os/exec"}},
	{of: "internal/pin", may: []string{"github.com/go-json-experiment/json/..."}, not: []string{"net", "net/http", "os", "os/exec", "time"}},
	{of: "internal/scan", may: []string{"github.com/go-json-experiment/json/...", "golang.org/x/text/..."}, not: []string{"net", "net/http", "os", "os/exec", "time"}},
	{of: "internal/policy", may: []string{
		"internal/gatewayconfig", "internal/glob", "internal/jsonrpc", "internal/principal", "cel.dev/cel-go/...",
	}, not: []string{"net", "net/http", "os", "os/exec"}},
	{of: "internal/jsonrpc", may: []string{"internal/mcp", "github.com/segmentio/asm/utf8", "golang.org/x/sys/cpu"}, not: []string{"net", "net/http", "os", "os/exec"}},
	{of: "internal/...", may: []string{"internal/mcp"}, not: []string{"net", "net/http", "os", "os/exec"}},

	// The data path. Its core does no I/O at all.
	{of: "filter", may: []string{"internal/..."}, not: []string{"net", "net/http", "os", "os/exec", "log", "log/slog"}},
	{of: "filter/host", may: []string{"filter", "internal/..."}, not: []string{"net", "net/http", "os/exec"}},
	{of: "filter/golang", may: []string{
		"filter", "filter/golang/configpb", "filter/host", "internal/...", "github.com/cncf/xds/go/xds/type/v3",
		"github.com/envoyproxy/envoy/contrib/golang/common/go/api", "google.golang.org/protobuf/...",
	}, not: []string{"os", "os/exec"}},
	{of: "filter/golang/configpb", may: []string{"google.golang.org/protobuf/..."}},
	{of: "filter/golang/lib", may: []string{
		"filter/golang", "internal/...", "github.com/envoyproxy/envoy/contrib/golang/filters/http/source/go/pkg/http",
	}, not: []string{"net", "net/http"}},
	{of: "filter/dynamicmodule", may: []string{"filter", "filter/host", "internal/..."}, not: []string{"net", "net/http", "os"}},
	{of: "filter/dynamicmodule/moduletest", may: []string{"internal/..."}, not: []string{"net", "net/http", "os"}},
	{of: "filter/dynamicmodule/lib", may: []string{"filter", "filter/dynamicmodule", "filter/host", "internal/...", "C"}, not: []string{"net", "net/http"}},

	// The aggregation path. Only one package knows Redis.
	{of: "broker/session/redis/redistest", may: []string{"test/freeport"}},
	{of: "broker/session/redis", may: []string{"broker/session", "broker/session/seal", "internal/...", "go.uber.org/zap", "github.com/redis/go-redis/v9/..."}},
	{of: "broker/session/sessiontest", may: []string{"broker/session", "internal/...", "github.com/google/go-cmp/..."}},
	{of: "broker/session/token", may: []string{"broker/session", "broker/session/memory", "broker/session/seal", "internal/..."}},
	{of: "broker/session/...", may: []string{"broker/session", "internal/..."}},
	{of: "broker/outbound", not: []string{"os", "os/exec"}},
	{of: "broker/credential", may: []string{
		"broker/backoff", "broker/outbound", "internal/...", "go.uber.org/zap", "golang.org/x/oauth2/...",
	}, not: []string{"os", "os/exec"}},
	{of: "broker/upstream", may: []string{"broker/backoff", "broker/credential", "broker/outbound", "broker/rescue", "internal/...", "go.uber.org/zap"}},
	{of: "broker/catalog", may: []string{"internal/..."}, not: []string{"net", "net/http", "os"}},
	{of: "broker/integrity", may: []string{"broker/backoff", "broker/catalog", "internal/...", "go.uber.org/zap"}, not: []string{"net", "net/http", "os/exec"}},
	{of: "broker/tolegacy", may: []string{"internal/..."}, not: []string{"net", "net/http", "os", "time"}},
	{of: "broker/requeststate", may: []string{"github.com/go-json-experiment/json/..."}, not: []string{"net", "net/http", "os"}},
	{of: "broker/pool", may: []string{"broker/credential", "broker/upstream", "internal/...", "go.uber.org/zap"}, not: []string{"net/http", "os"}},
	{of: "broker/bridge/stdio", may: []string{"internal/...", "go.uber.org/zap/..."}, not: []string{"net", "net/http", "os/exec"}},
	{of: "broker/bridge/httpsse", may: []string{"broker/credential", "broker/outbound", "internal/..."}, not: []string{"os", "os/exec"}},
	{of: "broker/bridge", may: []string{"broker/rescue", "broker/session", "broker/wire", "internal/...", "go.uber.org/zap"}, not: []string{"net", "os", "os/exec"}},
	{of: "broker/metrics", may: []string{"broker/session", "github.com/prometheus/client_golang/..."}, not: []string{"net", "os"}},
	{of: "broker/...", may: []string{"broker/...", "internal/...", "go.uber.org/zap"}},

	// The control path: source -> gateway -> envoyconfig -> publish.
	{of: "controlplane/gateway", may: []string{"internal/..."}, not: []string{"net/http", "os"}},
	{of: "controlplane/httpfilter", may: []string{
		"controlplane/gateway", "github.com/envoyproxy/go-control-plane/envoy/...", "google.golang.org/protobuf/...",
	}, not: []string{"net", "net/http", "os"}},
	{of: "controlplane/source/file", may: []string{
		"controlplane/gateway", "controlplane/httpfilter", "internal/...", "go.uber.org/zap", "github.com/fsnotify/fsnotify", "go.yaml.in/yaml/v3",
	}},
	{of: "controlplane/api/v1alpha1", may: []string{"k8s.io/apimachinery/..."}},
	{of: "controlplane/attach", may: []string{
		"controlplane/gateway", "controlplane/envoyconfig", "internal/...", "google.golang.org/protobuf/...",
	}, not: []string{"net/http", "os"}},
	{of: "controlplane/brokers", may: []string{"internal/..."}, not: []string{"os", "os/exec"}},
	{of: "controlplane/source/kubernetes", may: []string{
		"controlplane/api/v1alpha1", "controlplane/attach", "controlplane/gateway", "internal/...", "go.uber.org/zap", "github.com/go-logr/zapr",
		"k8s.io/api/...", "k8s.io/apimachinery/...", "k8s.io/client-go/...", "k8s.io/klog/v2",
		"sigs.k8s.io/controller-runtime/...", "sigs.k8s.io/gateway-api/...",
	}, not: []string{"net/http", "os", "os/exec"}},
	{of: "controlplane/envoyconfig", may: []string{
		"controlplane/gateway", "internal/...", "github.com/envoyproxy/go-control-plane/envoy/...", "github.com/cncf/xds/go/...",
		"github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/filters/http/golang/v3alpha",
		"google.golang.org/protobuf/...", "go.yaml.in/yaml/v3",
	}, not: []string{"net/http", "os", "os/exec"}},
	{of: "controlplane/keys", may: []string{"go.uber.org/zap"}, not: []string{"os", "os/exec"}},
	{of: "controlplane/metrics", may: []string{"github.com/prometheus/client_golang/..."}, not: []string{"net", "os"}},
	{of: "controlplane/publish", may: []string{
		"controlplane/gateway", "controlplane/envoyconfig", "controlplane/metrics", "internal/...", "go.uber.org/zap", "google.golang.org/grpc/...",
		"google.golang.org/protobuf/...", "github.com/envoyproxy/go-control-plane/...",
	}},
	{of: "controlplane/envoytest", may: []string{
		"controlplane/gateway", "internal/gatewayconfig", "github.com/envoyproxy/go-control-plane/envoy/...", "google.golang.org/protobuf/...",
	}},

	// Programs.
	{of: "cmd/mcp-demo", may: []string{"github.com/mark3labs/mcp-go/...", "github.com/spf13/cobra"}},
	{of: "cmd/mcp-gateway/...", may: []string{
		"cmd/mcp-gateway/...", "broker/...", "controlplane/...", "internal/...", "go.uber.org/zap/...", "github.com/spf13/cobra",
		"golang.org/x/sync/errgroup", "golang.org/x/sys/unix", "google.golang.org/grpc/...", "google.golang.org/protobuf/...",
		"k8s.io/apimachinery/pkg/types", "k8s.io/client-go/tools/clientcmd",
	}},

	{of: "test/...", may: []string{"..."}},
}

// pkg is what go list says of one package.
type pkg struct {
	ImportPath, Dir, Name, Doc         string
	Standard                           bool
	GoFiles, CgoFiles                  []string
	TestGoFiles, XTestGoFiles          []string
	Imports, TestImports, XTestImports []string
	Error                              *struct{ Err string }
}

// path is the import path without the module's name.
func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	c := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	c.Dir = "../.."
	c.Env = append(os.Environ(), "CGO_ENABLED=1")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	var found []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatalf("go list %v: %v", args, err)
		}
		found = append(found, p)
	}
}

// matches reports whether the import path fits the pattern.
func matches(pattern, path string) bool {
	path = strings.TrimPrefix(path, module)
	if pattern == "..." {
		return true
	}
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == root || strings.HasPrefix(path, root+"/")
	}
	return path == pattern
}

// standard reports whether an import is of the standard library: the first
// element of anything else has a dot, or is this module.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return path != "C" && !strings.Contains(first, ".") && first+"/" != module
}

func ruleFor(path string) (rule, bool) {
	for _, r := range rules {
		if matches(r.of, path) {
			return r, true
		}
	}
	return rule{}, false
}

// broken lists the imports that r does not allow.
func (r rule) broken(imports []string) []string {
	var found []string
	for _, i := range imports {
		if standard(i) {
			if slices.Contains(r.not, i) {
				found = append(found, i)
			}
			continue
		}
		if !slices.ContainsFunc(r.may, func(pattern string) bool { return matches(pattern, i) }) {
			found = append(found, i)
		}
	}
	return found
}

func TestImportsFollowTheTable(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		r, ok := ruleFor(p.path())
		if !ok {
			t.Errorf("%s: no rule says what it may import; add one to the table", p.path())
			continue
		}
		for _, i := range r.broken(p.Imports) {
			t.Errorf("%s imports %s, which its rule (%s) does not allow", p.path(), i, r.of)
		}
	}
}

// Not even tests: a shared test would tie the paths together just as well.
func TestPathsNeverImportEachOther(t *testing.T) {
	t.Parallel()
	paths := []string{"filter/...", "broker/...", "controlplane/..."}
	for _, p := range list(t, "./...") {
		for _, own := range paths {
			if !matches(own, p.ImportPath) {
				continue
			}
			for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				for _, other := range paths {
					if other != own && matches(other, i) {
						t.Errorf("%s imports %s", p.path(), i)
					}
				}
			}
		}
	}
}

func TestCgoIsInTheLibraryAlone(t *testing.T) {
	t.Parallel()
	with := 0
	for _, p := range list(t, "./...") {
		if len(p.CgoFiles) == 0 {
			continue
		}
		with++
		if p.path() != "filter/dynamicmodule/lib" {
			t.Errorf("%s uses cgo: %v", p.path(), p.CgoFiles)
		}
	}
	if with == 0 {
		t.Error("go list found no cgo at all: this test sees nothing")
	}
}

// What the library links runs inside Envoy: no network, no log library, and of what
// others wrote only CEL and the validation of UTF-8 with what these need, directly or
// through others.
func TestTheLibraryStaysSmall(t *testing.T) {
	t.Parallel()
	deps, others := list(t, "-deps", "./filter/dynamicmodule/lib"), map[string]bool{}
	for _, p := range list(t, "-deps", "cel.dev/cel-go/cel", "github.com/segmentio/asm/utf8", "golang.org/x/sys/cpu") {
		others[p.ImportPath] = true
	}
	for _, p := range deps {
		if p.Standard {
			if p.ImportPath == "net" || p.ImportPath == "net/http" || p.ImportPath == "os/exec" {
				t.Errorf("the library links %s", p.ImportPath)
			}
			continue
		}
		if !matches("filter/...", p.ImportPath) && !matches("internal/...", p.ImportPath) && !others[p.ImportPath] {
			t.Errorf("the library links %s", p.ImportPath)
		}
	}
	if len(deps) < 20 {
		t.Errorf("only %d dependencies: this test sees nothing", len(deps))
	}
}

// A library's MCP server or client would decode and encode again what must
// arrive byte for byte.
func TestMCPLibrariesAreForTestsAndDemos(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", "./cmd/mcp-gateway", "./filter/dynamicmodule/lib") {
		if strings.HasPrefix(p.ImportPath, "github.com/mark3labs/mcp-go") ||
			strings.HasPrefix(p.ImportPath, "github.com/modelcontextprotocol/") {
			t.Errorf("the gateway links %s", p.ImportPath)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		switch {
		case p.Doc != "":
		case len(p.GoFiles)+len(p.CgoFiles) > 0:
			t.Errorf("%s has no package comment", p.path())
		case !slices.ContainsFunc(append(p.TestGoFiles, p.XTestGoFiles...), func(f string) bool { return commented(t, p.Dir+"/"+f) }):
			t.Errorf("%s has no package comment in any of its tests", p.path())
		}
	}
}

func TestTheRuleTableCatches(t *testing.T) {
	t.Parallel()
	for path, imports := range map[string][]string{
		"filter":               {"net/http", "mcp-gateway/broker", "go.uber.org/zap"},
		"filter/dynamicmodule": {"mcp-gateway/controlplane/gateway", "C"},
		"broker":               {"github.com/redis/go-redis/v9", "mcp-gateway/filter"},
		"broker/upstream":      {"mcp-gateway/broker/session"},
		"internal/jsonrpc":     {"mcp-gateway/internal/sse", "go.uber.org/zap", "os"},
	} {
		r, ok := ruleFor(path)
		if !ok {
			t.Errorf("%s has no rule", path)
		}
		if got := r.broken(imports); !slices.Equal(got, imports) {
			t.Errorf("%s: of %v only %v were caught", path, imports, got)
		}
	}
	if r, _ := ruleFor("filter"); len(r.broken([]string{"fmt", "mcp-gateway/internal/sse"})) > 0 {
		t.Error("the rule of filter refuses what it should allow")
	}
}
