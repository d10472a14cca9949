package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// row is a requirement and its proof. Specification pages are of 2026-07-28 unless
// another revision or document is named; "ours" are requirements that no
// specification makes.
type row struct {
	number      int
	requirement string
	source      string
	proof       func(*stage)
}

func rows() []row {
	all := append(append(transportRows(), authorizationRows()...), messageRows()...)
	return append(all, serverRows()...)
}

// stage is what a row has to play on: gateways that all rows use, one row at a time.
type stage struct {
	*testing.T
	// plain has no authentication; guarded wants tokens of issuer with the scope mcp.
	plain   func() world
	guarded func() world
	issuer  func() *harness.Issuer
	// modern has servers of the stateless revision, a, and with sessions, b.
	modern func() world
}

// resource is the canonical URL of the guarded gateway's endpoint.
const resource = "https://gw.example.com/mcp"

func newStage(t *testing.T) *stage {
	s := &stage{T: t}
	s.plain = sync.OnceValue(func() world {
		return worldOf(t, harness.Config{
			Gateway: []string{`allowedOrigins: ["https://app.example"]`, "hostnames: [localhost, 127.0.0.1]"},
			Limits:  []string{"body: 65536", "depth: 16", "headerSize: 8KiB", "event: 65536", "itemsPerServer: 20", "sessionsPerAddress: 60", "streamsPerAddress: 3"},
		}, script("a"), script("b"))
	})
	s.issuer = sync.OnceValue(func() *harness.Issuer { return harness.NewIssuer(t) })
	s.guarded = sync.OnceValue(func() world {
		a := script("a")
		a.Era = mcpserver.Modern
		return worldOf(t, harness.Config{
			Gateway: []string{`allowedOrigins: ["https://app.example"]`, "hostnames: [localhost, 127.0.0.1, gw.example.com]"},
			Auth:    s.issuer().Auth(resource, "scopes: [mcp]", "scopesSupported: [mcp, offline]"),
		}, a, script("b"))
	})
	s.modern = sync.OnceValue(func() world {
		a := script("a")
		a.Era = mcpserver.Modern
		return worldOf(t, harness.Config{}, a, script("b"))
	})
	return s
}

// token is one of ada, for the guarded gateway; changes as of Issuer.Token.
func (s *stage) token(subject string, changes harness.Claims) string {
	claims := harness.Claims{"scope": "mcp"}
	for name, value := range changes {
		claims[name] = value
	}
	return "Authorization: Bearer " + s.issuer().Token(subject, resource, claims)
}

// as is a client of the guarded gateway with a session.
func (s *stage) as(subject string) *harness.Client {
	s.Helper()
	c := harness.NewClient(s.T, s.guarded().URL).With(s.token(subject, nil))
	c.Initialize()
	return c
}

// wantStatus checks an answer's status, and a part of its WWW-Authenticate for each
// of parts.
func (s *stage) wantStatus(what string, r harness.Response, status int, parts ...string) {
	s.Helper()
	if r.Status != status {
		s.Errorf("%s: %s, want %d", what, r, status)
	}
	challenge := r.Header.Get("Www-Authenticate")
	for _, part := range parts {
		if !strings.Contains(challenge, part) {
			s.Errorf("%s: WWW-Authenticate: %s, want %s", what, challenge, part)
		}
	}
}

// wantCode checks that an answer is a JSON-RPC error.
func (s *stage) wantCode(what string, r harness.Response, status, code int) {
	s.Helper()
	reply, err := r.Reply()
	if err != nil || r.Status != status || reply.Error == nil || reply.Error.Code != code {
		s.Errorf("%s: %s, want status %d and code %d", what, r, status, code)
	}
}

// TestRequirements proves the requirements one by one, and writes the table to
// dist/security.txt.
func TestRequirements(t *testing.T) {
	begun := time.Now()
	s := newStage(t)
	var table strings.Builder
	passed := 0
	for i, r := range rows() {
		if r.number != i+1 {
			t.Fatalf("row %d is number %d", i+1, r.number)
		}
		result := "FAILED"
		t.Run(fmt.Sprintf("%02d %s", r.number, r.requirement), func(t *testing.T) {
			one := *s
			one.T = t
			r.proof(&one)
			if !t.Failed() && !t.Skipped() {
				result = "passed"
				passed++
			}
		})
		fmt.Fprintf(&table, "%2d  %-6s  %s\n            %s\n", r.number, result, r.requirement, r.source)
	}
	fmt.Fprintf(&table, "\n%d of %d requirements passed, %.0f s\n", passed, len(rows()), time.Since(begun).Seconds())
	file := filepath.Join(harness.Root(t), "dist", "security.txt")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(table.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
	if len(rows()) != 27 {
		t.Errorf("%d rows", len(rows()))
	}
}
