package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

// words of a server that are for nobody: its errors, addresses and challenges.
const serversWords = "kanari-words of the server at http://10.9.8.7/kanari"

// sick answers everything but the first contact with a status and words of its own.
func sick(t *testing.T, name string, status int) *mcpserver.Server {
	t.Helper()
	s := mcpserver.Start(t, one(name))
	for _, method := range []string{"tools/call", "prompts/get", "resources/read"} {
		s.Handle(method, "", func(x *mcpserver.Exchange) {
			x.Header().Set("WWW-Authenticate", `Bearer realm="kanari", resource_metadata="http://169.254.169.254/kanari"`)
			x.Header().Set("Location", "http://10.9.8.7/kanari")
			x.Header().Set("X-Kanari", "kanari")
			x.Respond(status, "text/plain", []byte(serversWords))
		})
	}
	return s
}

// Whatever is secret is planted with the word kanari in it, as Envoy has canaries of
// its own, and then all that comes out of the gateway, to clients and to operators,
// is looked through: answers, logs, status, metrics, Envoy's configuration and
// statistics, and what render prints (specification: server/utilities/logging,
// Security).
func TestSecretsComeOutNowhere(t *testing.T) {
	for name, value := range map[string]string{
		"HEADER_SECRET": "kanari-header", "EXCHANGE_SECRET": "kanari-exchange-secret", "DISCOVERY_SECRET": "Bearer kanari-discovery",
		"API_KEY": "kanari-api-key-kanari-api-key", "SESSION_KEY": "kanari-session-key-kanari-session-key", "PROGRAM_SECRET": "kanari-program",
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("kanari-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, issuer := newExchanging(t), harness.NewIssuer(t)
	a, x, down := mcpserver.Start(t, one("a")), guardedServer(t, e, one("x")), mcpserver.NewDown(t, one("down"))
	script := one("m")
	script.Era = mcpserver.Modern
	m := guardedServer(t, e, script)
	accessLog, admin := filepath.Join(dir, "access.log"), harness.FreeAddr(t)
	servers := []harness.Server{
		{Name: "a", URL: a.URL() + "?key=kanari-url", Prefix: "a_", Extra: []string{fmt.Sprintf("headers: {X-Key: {env: HEADER_SECRET}, X-File: {file: %q}}", secret), "credential: {env: DISCOVERY_SECRET}"}},
		behind(x, "x", exchangeSetting(e)...), behind(m, "m", exchangeSetting(e)...),
		behind(down, "down", "headers: {Authorization: Bearer kanari-down}"),
		{Name: "l", Prefix: "l_", Extra: []string{
			fmt.Sprintf("command: [%q, -c, %q, kanari-argument]", harness.Tool(t, ".tools/venv/bin/python"), strings.Replace(environment, "dict(os.environ)", "{}", 1)),
			"env: {SECRET: {env: PROGRAM_SECRET}}",
		}},
	}
	for _, status := range []int{401, 403, 404, 500, 307} {
		name := fmt.Sprint("s", status)
		servers = append(servers, behind(sick(t, name, status), name, "headers: {Authorization: Bearer kanari-sick}"))
	}
	config := harness.Config{
		Gateway:  []string{"accessLog: " + accessLog, "serverStats: true"},
		Sessions: []string{"store: token", "keys: [{env: SESSION_KEY}]"},
		Auth:     issuer.Auth(guarded, "scopes: [mcp]", "apiKeys: {clients: [{name: ci, key: {env: API_KEY}}]}"),
		Servers:  servers,
	}
	g := harness.Run(t, config, "--log-level", "debug", "--admin", admin)
	token := issuer.Token("ada", guarded, scoped)
	secrets := []string{"kanari", token, token[strings.LastIndexByte(token, '.')+1:], "a-session-", "x-session-", "s401-session-"}

	var out strings.Builder // what comes out, with where
	note := func(where string, r harness.Response) {
		_, _ = fmt.Fprintf(&out, "\n%s: %s %v", where, r, r.Header)
	}
	clients := []*harness.Client{
		harness.NewClient(t, g.URL).With(bearer(token), "Cookie: kanari-cookie", "X-Custom: kanari-custom"),
		harness.NewClient(t, g.URL).With("X-Api-Key: kanari-api-key-kanari-api-key"),
	}
	drive := func() {
		for _, c := range clients {
			opened := c.Post(initialize)
			session := opened.Header.Get(harness.HeaderSession)
			secrets = append(secrets, session)
			opened.Header.Del(harness.HeaderSession) // which is the client's to know
			note("initialize", opened)
			in := c.With(harness.HeaderSession + ": " + session)
			for _, s := range servers {
				note(s.Name, in.Post(call("1", s.Name+"_tool")))
				note(s.Name, in.Post(`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"`+s.Name+`_prompt"}}`))
				note(s.Name, in.Post(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"`+s.Name+`+test://resource"}}`))
				note(s.Name+" without a session", modernCall(c, s.Name+"_tool"))
			}
			for _, method := range []string{"tools/list", "prompts/list", "resources/list", "ping", "no/such"} {
				note(method, in.Post(`{"jsonrpc":"2.0","id":1,"method":"`+method+`"}`))
			}
			note("no JSON", in.Post("kanari no JSON"))
			note("forged", c.With(harness.HeaderSession+": "+session+"x").Post(call("1", "a_tool")))
			note("DELETE", in.Do(http.MethodDelete, ""))
		}
		note("nobody", harness.NewClient(t, g.URL).Post(initialize))
		note("forged token", harness.NewClient(t, g.URL).With(bearer(token+"x")).Post(initialize))
	}
	drive()
	e.revoke()
	drive()
	e.breakDown()
	clients[0] = harness.NewClient(t, g.URL).With(bearer(issuer.Token("ben", guarded, scoped)))
	drive()
	g.Reload(harness.Config{More: "kanari: kanari\n"}) // a mistake of an operator
	harness.Eventually(t, "the complaint", func() bool {
		return strings.Contains(g.Stderr().Tail(1<<20), "kanari: unknown") || strings.Contains(g.Stderr().Tail(1<<20), "unknown")
	})

	for _, path := range []string{"/config_dump?include_eds", "/stats", "/clusters", "/listeners", "/server_info", "/certs", "/init_dump"} {
		resp, err := http.Get("http://" + admin + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || len(text) == 0 && path != "/certs" {
			t.Errorf("%s: %d, %d bytes: %v", path, resp.StatusCode, len(text), err)
		}
		_, _ = fmt.Fprintf(&out, "\n%s: %s", path, text)
	}
	_, _ = fmt.Fprintf(&out, "\nstatus: %s\nmetrics: %s", g.StatusText(), g.Metrics())
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte(config.YAML()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"render", "validate"} {
		p := harness.Start(t, command, harness.Built(t, "mcp-gateway"), []string{command, file})
		if code := p.ExitCode(harness.Patience); code != 0 {
			t.Errorf("%s: %d", command, code)
		}
		_, _ = fmt.Fprintf(&out, "\n%s: %s%s", command, p.Stdout().Tail(1<<20), p.Stderr().Tail(1<<20))
	}
	_, logged := entries(t, accessLog, 50)
	_, _ = fmt.Fprintf(&out, "\naccess log: %s\nlog: %s%s", logged, g.Stdout().Tail(1<<20), g.Stderr().Tail(1<<20))

	// The mistake is the operator's own, and so are the names of things.
	text := regexp.MustCompile(`[^\n]*kanari: (is )?unknown[^\n]*|[^\n]*unknown key[^\n]*`).ReplaceAllString(out.String(), "")
	if len(text) < 100_000 {
		t.Errorf("only %d bytes came out: this test sees nothing", len(text))
	}
	for _, s := range secrets {
		if i := strings.Index(text, s); s != "" && i >= 0 {
			t.Errorf("%q came out: %q", s, text[max(0, i-300):min(len(text), i+100)])
		}
	}
	for _, s := range []*mcpserver.Server{a, x, m} {
		if len(s.Requests()) == 0 {
			t.Error("a server was not asked")
		}
	}
}
