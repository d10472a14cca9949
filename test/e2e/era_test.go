package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// The eras of the protocol that a program speaks: revisions with sessions, the
// stateless one, or both.
const (
	legacy = "legacy"
	modern = "modern"
	both   = "both"
)

// eraClient is a client program that speaks one era.
type eraClient struct {
	name, era string
	run       sdk
	// lacks is a row for which the SDK has nothing.
	lacks string
}

// eraClients are four SDKs in each era.
func eraClients(t *testing.T) []eraClient {
	t.Helper()
	mcpGo := goProgram(t, "./test/clients/mcpgo")
	goSDK := goProgram(t, "-modfile=tools/go.mod", "./test/clients/gosdk/main.go")
	return []eraClient{
		{"python", legacy, pythonMode("legacy"), ""},
		{"typescript1", legacy, typescriptClient("http"), ""},
		{"mcp-go", legacy, programClient(mcpGo, harness.Revision), "cancel"}, // over HTTP it tells nobody
		{"go-sdk", legacy, programClient(goSDK, harness.Revision), ""},
		{"python", modern, pythonMode(revisionModern), ""},
		{"typescript2", modern, typescriptClient("v2-modern"), ""},
		{"mcp-go", modern, programClient(mcpGo, revisionModern), ""},
		{"go-sdk", modern, programClient(goSDK, revisionModern), "roots"}, // v1.8.0 wants params, which may be left out
	}
}

// goProgram builds a program and returns its path.
func goProgram(t *testing.T, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	command(t, "go", append([]string{"build", "-o", program}, args...)...)
	return program
}

func programClient(program, revision string) sdk {
	return func(t *testing.T, url, steps, options string) output {
		t.Helper()
		return parse(t, command(t, program, url, steps, revision, options))
	}
}

const revisionModern = "2026-07-28"

func pythonMode(mode string) sdk {
	return func(t *testing.T, url, steps, options string) output {
		t.Helper()
		return parse(t, command(t, harness.Tool(t, ".tools/venv/bin/python"), "-W", "ignore",
			"test/clients/py/client.py", url, steps, mode, "http", options))
	}
}

// eraServer is a server behind the gateway. Its name is its label too.
type eraServer struct{ sdk, era, name, prefix string }

func eraServers() []eraServer {
	var all []eraServer
	for _, sdk := range []string{"python", "typescript"} {
		for _, era := range []string{legacy, modern, both} {
			all = append(all, eraServer{sdk, era, sdk + "-" + era, sdk + "_" + era + "_"})
		}
	}
	return all
}

// Every client gets the same of every server, whichever eras the two speak.
func TestEras(t *testing.T) {
	t.Parallel()
	var config harness.Config
	for _, s := range eraServers() {
		config.Servers = append(config.Servers, harness.Server{Name: s.name, Prefix: s.prefix, URL: harness.Eras(t, s.sdk, s.era)})
	}
	g := harness.Run(t, config)
	var table eraTable
	t.Cleanup(func() { table.write(t) })
	for _, c := range eraClients(t) {
		for _, s := range eraServers() {
			t.Run(c.era+" "+c.name+" to "+s.name, func(t *testing.T) {
				t.Parallel()
				pair := eraPair{client: c, server: s}
				for _, row := range pair.rows() {
					table.put(row.name, pair, false) // until it is proven
				}
				out := c.run(t, g.URL, pair.steps(), `{"answers":{`+modelAnswer+`,`+userAnswer+`,`+rootsAnswer+`}}`)
				at := 0
				for _, row := range pair.rows() {
					n := len(row.steps(pair))
					steps := out.Steps[at : at+n]
					at += n
					t.Run(row.name, func(t *testing.T) {
						row.check(t, pair, steps, out)
						table.put(row.name, pair, !t.Failed())
					})
				}
			})
		}
	}
}

// eraPair is a client and a server, and what is between them.
type eraPair struct {
	client eraClient
	server eraServer
}

// rows are those that the client is able to want.
func (p eraPair) rows() []eraRow {
	return slices.DeleteFunc(slices.Clone(eraRows), func(r eraRow) bool { return r.name == p.client.lacks })
}

// mark is a word that no other pair uses.
func (p eraPair) mark() string {
	return strings.Join([]string{p.client.name, p.client.era, p.server.sdk, p.server.era}, "_")
}

// call is a step that calls one of the server's tools.
func (p eraPair) call(tool, arguments, more string) string {
	return fmt.Sprintf(`{"do":"tools/call","name":"%s%s","arguments":{%s}%s}`, p.server.prefix, tool, arguments, more)
}

func (p eraPair) steps() string {
	var all []string
	for _, row := range p.rows() {
		all = append(all, row.steps(p)...)
	}
	return "[" + strings.Join(all, ",") + "]"
}

// eraTable is what each pair reached.
type eraTable struct {
	mu    sync.Mutex
	cells map[string]map[string]string // by pair and row
}

func (e *eraTable) put(row string, p eraPair, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := fmt.Sprintf("%-6s %-11s  %s", p.client.era, p.client.name, p.server.name)
	if e.cells == nil {
		e.cells = map[string]map[string]string{}
	}
	if e.cells[name] == nil {
		e.cells[name] = map[string]string{}
	}
	e.cells[name][row] = map[bool]string{true: "ok", false: "FAIL"}[ok]
}

// write writes dist/eras.txt.
func (e *eraTable) write(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-42s", "client              server")
	for _, row := range eraRows {
		fmt.Fprintf(&b, " %-9s", row.name)
	}
	names := []string{}
	for name := range e.cells {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "\n%-42s", name)
		for _, row := range eraRows {
			fmt.Fprintf(&b, " %-9s", e.cells[name][row.name])
		}
	}
	file := filepath.Join(harness.Root(t), "dist", "eras.txt")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte(b.String()+"\n"), 0o644); err != nil {
		t.Error(err)
	}
}
