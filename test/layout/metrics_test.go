package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"mcp-gateway/broker/metrics"
	controlplane "mcp-gateway/controlplane/metrics"
)

// document returns the rows of the tables of docs/metrics.md: the first cell of
// each, which is a word of code, with the second one as plain text.
func document(t *testing.T) (rows map[string]string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows = map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s is documented twice", m[1])
		}
		rows[m[1]] = strings.ReplaceAll(strings.TrimSpace(m[2]), "`", "")
	}
	return rows
}

// TestMetricsAreDocumented holds docs/metrics.md to what there is, in both
// directions: the metrics of broker and control plane with their labels, those of the
// filter, and the values of the labels limit and reason.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	maps.Copy(want, ofBroker(t))
	maps.Copy(want, ofControlPlane(t))
	maps.Copy(want, ofFilter(t))
	for _, limit := range limits(t) {
		want[`limit="`+limit+`"`] = ""
	}
	for _, reason := range reasons(t) {
		want[`reason="`+reason+`"`] = ""
	}
	got := document(t)
	for name := range got {
		if strings.HasPrefix(name, "limit=") || strings.HasPrefix(name, "reason=") {
			got[name] = "" // what is beside it is for people
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/metrics.md (-what there is +what it says):\n%s", diff)
	}
}

// ofBroker returns the broker's metrics with their labels, those of the Go runtime
// and the process apart.
func ofBroker(t *testing.T) map[string]string {
	t.Helper()
	m := metrics.New([]string{"x"}, func() metrics.State {
		return metrics.State{Servers: []metrics.Server{{
			Name: "a", Items: map[string]int{"tools": 1}, LeftOut: map[string]int{"tools": 1},
			Withheld: map[string]int{"tools": 1}, Suspect: map[string]int{"new": 1},
		}}}
	})
	m.Listed("tools", 1)
	m.TokenAsked("a", metrics.TokenIssued)
	return labelled(t, m.Gatherer())
}

func ofControlPlane(t *testing.T) map[string]string {
	t.Helper()
	m := controlplane.New()
	m.Published("a")
	return labelled(t, m.Gatherer())
}

// labelled are the metrics with the names of their labels.
func labelled(t *testing.T, g prometheus.Gatherer) map[string]string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "mcp_") {
			continue
		}
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		out[family.GetName()] = strings.Join(labels, ", ")
	}
	return out
}

// scraped is what Envoy puts before the names of the filter's metrics; test/e2e reads
// them there.
const scraped = "envoy_mcp_gateway_"

// ofFilter returns the metrics that the filter defines in Envoy.
func ofFilter(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../filter/dynamicmodule/lib/config.c")
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"labels": "reason, server", "&phase": "phase", "NULL": ""}
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`bytes\("(mcp_gateway_\w+)", \d+\), ([\w&]+),`).FindAllStringSubmatch(string(text), -1) {
		of, known := labels[m[2]]
		if !known {
			t.Errorf("labels of %s: %s, which this test does not know", m[1], m[2])
		}
		out[scraped+m[1]] = of
	}
	return out
}

// limits returns the values of the label limit.
func limits(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("../../broker/limits.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tlimit\w+ += "(\w+)"$`).FindAllStringSubmatch(string(text), -1) {
		all = append(all, m[1])
	}
	return all
}

// reasons returns the words that the filter gives as reason of an error.
func reasons(t *testing.T) []string {
	t.Helper()
	f := finder{t: t, found: map[string]bool{}, values: map[string][]string{}}
	names, err := filepath.Glob("../../filter/*.go")
	if err != nil || len(names) == 0 {
		t.Fatal("no source of the filter", err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, f.declared)
		files = append(files, file)
	}
	for _, file := range files {
		ast.Inspect(file, f.used)
	}
	return slices.Sorted(maps.Keys(f.found))
}

// takes is where functions of the filter take a reason.
var takes = map[string]int{"refuse": 3, "refuseData": 4, "refuseCall": 3, "unauthorized": 2, "fail": 0, "accept": 0}

type finder struct {
	t     *testing.T
	found map[string]bool
	// values are the texts of constants and maps by their names.
	values map[string][]string
}

func (f *finder) declared(n ast.Node) bool {
	spec, ok := n.(*ast.ValueSpec)
	if !ok || len(spec.Values) != 1 {
		return true
	}
	switch value := spec.Values[0].(type) {
	case *ast.BasicLit:
		f.values[spec.Names[0].Name] = texts(value)
	case *ast.CompositeLit:
		for _, e := range value.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok {
				f.values[spec.Names[0].Name] = append(f.values[spec.Names[0].Name], texts(pair.Value)...)
			}
		}
	}
	return true
}

func (f *finder) used(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.CallExpr:
		if sel, ok := n.Fun.(*ast.SelectorExpr); ok {
			if at, takesOne := takes[sel.Sel.Name]; takesOne && at < len(n.Args) {
				f.add(n.Args[at])
			}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "Reason" && len(n.Rhs) == len(n.Lhs) {
				f.add(n.Rhs[i])
			}
		}
	}
	return true
}

func (f *finder) add(e ast.Expr) {
	all := texts(e)
	switch e := e.(type) {
	case *ast.Ident:
		all = f.values[e.Name]
	case *ast.IndexExpr:
		if id, ok := e.X.(*ast.Ident); ok {
			all = f.values[id.Name]
		}
	}
	for _, text := range all {
		if text != "" {
			f.found[text] = true
		}
	}
}

// texts returns the text of a string literal, if it is one.
func texts(e ast.Expr) []string {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return nil
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return nil
	}
	return []string{text}
}
