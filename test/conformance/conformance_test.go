// Package conformance runs the conformance suite of the Model Context Protocol
// through the gateway and directly, and wants the same findings: the gateway
// must be transparent. `make conformance` runs it and prints the table of checks.
//
// In server scenarios the suite is the client and the reference server of the
// Go SDK is behind the gateway: alone under its own names, or federated with two
// others under a prefix and a label, which a shim hides from the suite. In
// client scenarios the suite is the server and the SDK's reference client is
// before the gateway.
package conformance

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mcp-gateway/test/conformance/shim"
	"mcp-gateway/test/e2e/harness"
)

const (
	refName   = "reference"
	refPrefix = "ref_"
)

func TestServerScenarios(t *testing.T) {
	// One after the other: the scenarios have time limits of their own.
	for _, revision := range []string{"2025-11-25", "2025-06-18", "2025-03-26"} {
		t.Run(revision, func(t *testing.T) {
			through(t, "server scenarios, "+revision, reference, func(t *testing.T, url string) report {
				t.Helper()
				return suite(t, nil, "server", "--url", url, "--suite", "all", "--spec-version", revision)
			})
		})
	}
}

// TestClientScenarios leaves out the scenarios of authorization: those are
// between the client and the server's authorization server.
func TestClientScenarios(t *testing.T) {
	client := harness.Tool(t, ".tools/reference/everything-client")
	front := fronts(t, "auto")
	for revision, names := range map[string][]string{
		"2025-11-25": {"initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", "json-schema-2020-12-preservation"},
		"2025-06-18": {"initialize", "tools_call"},
	} {
		t.Run(revision, func(t *testing.T) {
			direct := clientScenarios(t, client, revision, names)
			alone := clientScenarios(t, front("", client), revision, names)
			federated := clientScenarios(t, front(harness.Demo(t, "weather"), client), revision, names)
			tabulate(t, "client scenarios, "+revision, direct, column{"unprefixed", alone}, column{"prefixed", federated})
			compare(t, direct, column{"unprefixed", alone}, column{"prefixed", federated})
		})
	}
}

// clientScenarios runs a client's command with the suite as its server.
func clientScenarios(t *testing.T, command, revision string, names []string) report {
	t.Helper()
	all := report{}
	for _, name := range names {
		found := suite(t, []string{"ENVOY=" + harness.EnvoyPath(t)}, "client", "--command", command, "--scenario", name, "--spec-version", revision)
		for _, f := range found {
			all[name] = f
		}
	}
	return all
}

// fronts builds the program that puts a gateway before a client, beside another
// server if there is one, and returns the command of it. The suite's server is of
// one era.
func fronts(t *testing.T, era string) func(beside, client string) string {
	t.Helper()
	dir := t.TempDir()
	front, leash := filepath.Join(dir, "front"), filepath.Join(dir, "leash")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", front, "./test/conformance/front")
	build.Dir = harness.Root(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the front: %v\n%s", err, out)
	}
	held, err := os.Create(leash)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("lock %s: %v", leash, err)
	}
	gateway := harness.Built(t, "mcp-gateway")
	return func(beside, client string) string {
		words := []string{front, "-era", era, "-leash", leash, gateway, client}
		if beside != "" {
			words = slices.Insert(words, 1, "-beside", beside)
		}
		return strings.Join(words, " ")
	}
}

// reference is the endpoint of a reference server of its own.
func reference(t *testing.T) string {
	t.Helper()
	_, url := harness.Reference(t, "")
	return url
}

// federation is the reference server between two others, of mcp-go and of the
// TypeScript SDK, behind a gateway and the shim.
func federation(t *testing.T, url string) string {
	t.Helper()
	g := harness.Run(t, harness.Config{Servers: []harness.Server{
		{Name: "weather", URL: harness.Demo(t, "weather"), Prefix: "weather_"},
		{Name: refName, URL: url, Prefix: refPrefix},
		{Name: "everything", URL: harness.Everything(t), Prefix: "everything_"},
	}})
	handler, err := shim.New(g.URL, refPrefix, refName, "weather", "everything")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL + "/mcp"
}

// through runs a suite at a server by itself and behind the gateway.
func through(t *testing.T, title string, start func(t *testing.T) string, run func(t *testing.T, url string) report) (direct report) {
	t.Helper()
	direct = run(t, start(t))
	alone := run(t, harness.Run(t, harness.Config{Servers: []harness.Server{{Name: refName, URL: start(t)}}}).URL)
	federated := run(t, federation(t, start(t)))
	tabulate(t, title, direct, column{"unprefixed", alone}, column{"prefixed", federated})
	compare(t, direct, column{"unprefixed", alone}, column{"prefixed", federated})
	return direct
}

// column is what was found through one arrangement of the gateway.
type column struct {
	name  string
	found report
}

// compare wants the same findings of each column as directly.
func compare(t *testing.T, direct report, columns ...column) {
	t.Helper()
	each(t, direct, columns, func(t *testing.T, got, want findings) {
		t.Helper()
		if got.Passed != want.Passed {
			t.Errorf("%d checks passed, want %d as directly; not passed:\n%s", got.Passed, want.Passed, strings.Join(got.Failed, "\n"))
		}
	})
}

// compareClients is compare for clients. The suite checks each request that it
// gets, and the gateway makes more: it may pass more, but must fail no other.
func compareClients(t *testing.T, direct report, columns ...column) {
	t.Helper()
	each(t, direct, columns, func(t *testing.T, got, want findings) {
		t.Helper()
		if got.Passed < want.Passed || len(got.Failed) > len(want.Failed) {
			t.Errorf("%d checks passed and %d failed, want %d and %d as directly; failed:\n%s",
				got.Passed, len(got.Failed), want.Passed, len(want.Failed), strings.Join(got.Failed, "\n"))
		}
	})
}

func each(t *testing.T, direct report, columns []column, check func(t *testing.T, got, want findings)) {
	t.Helper()
	for _, c := range columns {
		t.Run(c.name, func(t *testing.T) {
			for _, scenario := range scenarios(direct, c.found) {
				t.Run(scenario, func(t *testing.T) { check(t, c.found[scenario], direct[scenario]) })
			}
		})
	}
}

// tabulate appends the numbers of passed checks to dist/conformance.txt.
func tabulate(t *testing.T, title string, direct report, columns ...column) {
	t.Helper()
	var b strings.Builder
	line := func(name string, numbers ...any) {
		fmt.Fprintf(&b, "  %-46s", name)
		for _, n := range numbers {
			fmt.Fprintf(&b, " %11v", n)
		}
		b.WriteString("\n")
	}
	head, sum := []any{"direct"}, []any{direct.passed()}
	all := []report{direct}
	for _, c := range columns {
		head, sum = append(head, c.name), append(sum, c.found.passed())
		all = append(all, c.found)
	}
	b.WriteString(title + "\n")
	line("checks that passed", head...)
	for _, scenario := range scenarios(all...) {
		numbers := []any{direct[scenario].Passed}
		mark := ""
		for _, c := range columns {
			numbers = append(numbers, c.found[scenario].Passed)
			switch passed := c.found[scenario].Passed; {
			case passed < direct[scenario].Passed:
				mark = " <"
			case passed > direct[scenario].Passed && mark == "":
				mark = " >"
			}
		}
		line(scenario+mark, numbers...)
	}
	line("all", sum...)
	file := filepath.Join(harness.Root(t), "dist", "conformance.txt")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // the write is checked
	if _, err := f.WriteString(b.String() + "\n"); err != nil {
		t.Fatal(err)
	}
}
