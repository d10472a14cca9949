package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcp-gateway/controlplane/gateway"
	"mcp-gateway/test/freeport"
)

// Cluster is Envoy's cluster of a server at a URL, which no client may choose.
func Cluster(name, url string) string {
	s := gateway.Server{Name: name, URL: url}
	return s.Cluster()
}

// stopLimit is what the gateway promises for its end.
const stopLimit = 5 * time.Second

// Config is a configuration file of the gateway.
type Config struct {
	Servers []Server
	// Gateway, Sessions, Limits and Auth are lines of these sections, as "body: 4096".
	Gateway  []string
	Sessions []string
	Limits   []string
	Auth     []string
	// More are further sections, as they stand.
	More string
	// Virtual are the entries of virtualServers, as "{name: a, servers: [b]}".
	Virtual []string
}

// Server is one entry of servers.
type Server struct {
	Name, URL, Prefix string
	// Extra are further lines, as "timeout: 1s".
	Extra []string
}

// YAML is the file's text.
func (c Config) YAML() string {
	var b strings.Builder
	section := func(name string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "%s:\n  %s\n", name, strings.Join(lines, "\n  "))
		}
	}
	section("gateway", c.Gateway)
	section("sessions", c.Sessions)
	section("limits", c.Limits)
	section("auth", c.Auth)
	if len(c.Virtual) > 0 {
		fmt.Fprintf(&b, "virtualServers:\n  - %s\n", strings.Join(c.Virtual, "\n  - "))
	}
	b.WriteString(c.More)
	if len(c.Servers) == 0 {
		b.WriteString("servers: []\n")
		return b.String()
	}
	b.WriteString("servers:\n")
	for _, s := range c.Servers {
		fmt.Fprintf(&b, "  - name: %s\n", s.Name)
		if s.URL != "" {
			fmt.Fprintf(&b, "    url: %s\n", s.URL)
		}
		if s.Prefix != "" {
			fmt.Fprintf(&b, "    prefix: %q\n", s.Prefix)
		}
		for _, line := range s.Extra {
			fmt.Fprintf(&b, "    %s\n", line)
		}
	}
	return b.String()
}

// Gateway is `mcp-gateway run` with a configuration file, ready to be asked.
type Gateway struct {
	*Process
	// URL is the endpoint, as the ready line named it.
	URL  string
	file string
	t    testing.TB
}

// Run starts a gateway and waits until it is ready. At the end of the test it is
// stopped as a user would, which must work.
func Run(t testing.TB, config Config, args ...string) *Gateway {
	t.Helper()
	g := Launch(t, config, args...)
	g.URL = strings.TrimSpace(g.WaitLine(g.Stdout(), "ready endpoint="))
	return g
}

// Launch is Run without the wait.
func Launch(t testing.TB, config Config, args ...string) *Gateway {
	t.Helper()
	g := &Gateway{t: t, file: filepath.Join(t.TempDir(), "gateway.yaml")}
	g.Reload(config)
	// What hangs in a test is not waited for at its end.
	args = append(Args(t, "run", "--config", g.file, "--listen", "127.0.0.1:0", "--drain", "0s"), args...)
	g.Process = Start(t, "mcp-gateway", Built(t, "mcp-gateway"), args)
	t.Cleanup(func() {
		select {
		case <-g.Ended():
		default:
			g.Stop(stopLimit)
		}
	})
	return g
}

// Reload replaces the configuration file, as an editor does: by renaming.
func (g *Gateway) Reload(config Config) { g.Write(config.YAML()) }

// Write replaces the configuration file with any text.
func (g *Gateway) Write(text string) {
	g.t.Helper()
	next := g.file + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(next, g.file); err != nil {
		g.t.Fatal(err)
	}
}

// Addr is host:port of the endpoint.
func (g *Gateway) Addr() string {
	rest := strings.TrimPrefix(g.URL, "http://")
	addr, _, _ := strings.Cut(rest, "/")
	return addr
}

// FreeAddr is a loopback address for a program that is still to listen there.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return freeport.For(t)
}

// Demo runs one of the demo servers and returns its endpoint.
func Demo(t testing.TB, name string) string {
	t.Helper()
	p := Start(t, "mcp-demo-"+name, Built(t, "mcp-demo"), []string{name, "--listen", "127.0.0.1:0"})
	return strings.TrimSpace(p.WaitLine(p.Stderr(), "serving "))
}

// everything is the reference server of the TypeScript SDK as node runs it.
func everything(t testing.TB, transport string) []string {
	t.Helper()
	return []string{Tool(t, ".tools/node/bin/node"), Tool(t, "test/clients/node_modules/.bin/mcp-server-everything"), transport}
}

// Everything runs the reference server over Streamable HTTP and returns its
// endpoint.
func Everything(t testing.TB) string {
	t.Helper()
	_, url := EverythingAt(t, "")
	return url
}

// EverythingSSE runs it over HTTP+SSE and returns the URL of its event stream.
func EverythingSSE(t testing.TB) string {
	t.Helper()
	addr, port := address(t, "")
	command := everything(t, "sse")
	p := Start(t, "everything-sse", command[0], command[1:], "PORT="+port)
	p.WaitLine(p.Stderr(), "running on port")
	return "http://" + addr + "/sse"
}

// EverythingStdio is the reference server as an entry that the gateway runs
// itself. What it starts counts as the gateway's family.
func EverythingStdio(t testing.TB, name string, extra ...string) Server {
	t.Helper()
	quoted := make([]string, 0, 3)
	for _, word := range everything(t, "stdio") {
		quoted = append(quoted, fmt.Sprintf("%q", word))
	}
	return Server{Name: name, Prefix: name + "_", Extra: append([]string{
		"command: [" + strings.Join(quoted, ", ") + "]",
		"env: {" + markEnv + ": \"${" + markEnv + "}\"}",
	}, extra...)}
}

// Wrap has a shell run the server's command, which is "$@" in its script.
func Wrap(s Server, script string) Server {
	s.Extra[0] = strings.Replace(s.Extra[0], "[", fmt.Sprintf("[sh, -c, %q, sh, ", script), 1)
	return s
}
