package chaos

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcp-gateway/broker/session/redis/redistest"
	"mcp-gateway/test/chaos/check"
	"mcp-gateway/test/chaos/client"
	"mcp-gateway/test/chaos/link"
	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/freeport"
)

// roleEnv makes this program one of the servers: its value is the address, the
// name and the era.
const roleEnv = "MCP_GATEWAY_CHAOS_SERVER"

// brokersName is where Envoys find the brokers, as a service's name elsewhere.
const brokersName = "brokers.test"

// part is a process that faults are about. start runs another one in its place.
type part struct {
	name    string
	process *harness.Process
	start   func() *harness.Process
}

// world is all of it, running.
type world struct {
	t     *testing.T
	who   *link.Who
	redis *redistest.Server

	// envoys, brokers, planes and servers by name.
	parts map[string]*part
	// links by what they lead to: a server, "broker1", "broker1-internal",
	// "envoy1-clients", "redis", "plane1-xds", "plane1-config".
	links map[string]*link.Link

	env    *client.Env
	admins map[string]string // of Envoys, by name
	epochs map[string]int    // of their hot restarts
	steady string            // address of a server that no fault is about
	stalls *stalls
	// excuses are those of all scenarios so far.
	excuses []check.Excuse
	clocks  *clocks
}

// servers are those behind the gateway: cid is the one that faults hit.
var servers = []struct {
	name   string
	modern bool
}{{"ann", false}, {"bob", false}, {"cid", false}, {"mod", true}, {"nod", true}}

// newWorld starts everything and waits until it serves. Without the address of a
// store it starts a Redis of its own.
func newWorld(t *testing.T, store string) *world {
	t.Helper()
	w := &world{
		t: t, who: link.NewWho(), parts: map[string]*part{}, links: map[string]*link.Link{}, admins: map[string]string{}, epochs: map[string]int{},
		env: &client.Env{Checker: check.New()},
	}
	w.clocks = newClocks(t)
	if store == "" {
		w.redis = redistest.Start(t)
		w.link("redis", harness.FreeAddr(t), w.redis.Addr())
		store = "redis://" + w.links["redis"].Addr()
	}

	config := harness.Config{
		Gateway:  []string{"name: chaos"},
		Sessions: []string{fmt.Sprintf("store: %q", store)},
	}
	for _, s := range servers {
		addr := harness.FreeAddr(t)
		if s.name == "bob" {
			w.steady = addr
		}
		w.add(s.name, func() *harness.Process { return w.server(s.name, addr, s.modern) })
		w.link(s.name, harness.FreeAddr(t), addr)
		config.Servers = append(config.Servers, harness.Server{
			Name: s.name, URL: "http://" + w.links[s.name].Addr() + "/mcp", Prefix: s.name + "_",
			Extra: []string{"timeout: 4s", "connectTimeout: 1s", "listTimeout: 2s"},
		})
		w.env.Servers = append(w.env.Servers, &client.Server{Name: s.name, Modern: s.modern})
	}
	w.gateway(config)
	return w
}

// gateway starts two of each part of the gateway.
func (w *world) gateway(config harness.Config) {
	t := w.t
	t.Helper()
	// Replicas have one port and addresses of their own.
	public, internal := freeport.Port(t), freeport.Port(t)
	replicas := []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")}
	names, err := link.NewNames(brokersName, replicas...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(names.Close)
	built, secret := harness.Built(t, "mcp-gateway"), "MCP_GATEWAY_INTERNAL_SECRET=chaos-keeps-it"
	dir, resolves := t.TempDir(), w.clocks.resolve(t, brokersName, replicas)
	for i := range 2 {
		n := i + 1
		listen, xds, configs := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
		plane, broker, envoy := fmt.Sprintf("plane%d", n), fmt.Sprintf("broker%d", n), fmt.Sprintf("envoy%d", n)
		file := filepath.Join(dir, plane+".yaml")
		own := config
		own.Gateway = append([]string{"listen: " + listen}, config.Gateway...)
		write(t, file, own.YAML())
		w.link(plane+"-xds", harness.FreeAddr(t), xds)
		w.link(plane+"-config", harness.FreeAddr(t), configs)
		w.add(plane, func() *harness.Process {
			return harness.Start(t, plane, built, harness.Args(t, "controlplane", "--config", file, "--xds-listen", xds, "--config-listen", configs,
				"--broker", fmt.Sprintf("%s:%d", brokersName, public), "--broker-internal", fmt.Sprintf("%s:%d", brokersName, internal)), secret)
		})

		brokerPublic, brokerInternal := harness.FreeAddr(t), harness.FreeAddr(t)
		w.link(broker, fmt.Sprintf("%s:%d", replicas[i], public), brokerPublic)
		w.link(broker+"-internal", fmt.Sprintf("%s:%d", replicas[i], internal), brokerInternal)
		w.add(broker, func() *harness.Process {
			return harness.Start(t, broker, built, []string{"broker", "--control-plane", "http://" + w.links[plane+"-config"].Addr(),
				"--listen", brokerPublic, "--internal-listen", brokerInternal}, secret)
		})

		admin := harness.FreeAddr(t)
		bootstrap := filepath.Join(dir, envoy+".yaml")
		write(t, bootstrap, w.bootstrap(w.links[plane+"-xds"].Addr(), admin, names.Port()))
		w.admins[envoy] = admin
		w.link(envoy+"-clients", harness.FreeAddr(t), listen)
		e := &client.Envoy{Name: envoy, Addr: w.links[envoy+"-clients"].Addr()}
		w.env.Envoys = append(w.env.Envoys, e)
		base := 0
		w.add(envoy, func() *harness.Process {
			if w.epochs[envoy] == 0 {
				base = freeport.Port(t)                                                                    // an id that no other Envoy has
				t.Cleanup(func() { _ = os.Remove(fmt.Sprintf("/dev/shm/envoy_shared_memory_%d0", base)) }) // none elsewhere
			}
			return harness.Start(t, envoy, harness.EnvoyPath(t), []string{
				"-c", bootstrap, "--log-level", "warning", "--concurrency", "2", "--base-id", fmt.Sprint(base),
				"--restart-epoch", fmt.Sprint(w.epochs[envoy]), "--drain-time-s", "5", "--parent-shutdown-time-s", "7",
			}, append(resolves, w.clocks.env(envoy), secret, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH="+filepath.Dir(harness.Library(t)))...)
		})
	}
	for _, e := range w.env.Envoys {
		w.serves(e)
	}
}

// bootstrap is the envoy.yaml as the program prints it, with the test's name server.
func (w *world) bootstrap(xds, admin string, dns int) string {
	p := harness.Start(w.t, "bootstrap", harness.Built(w.t, "mcp-gateway"), harness.Args(w.t, "bootstrap", "--xds", xds, "--admin", admin))
	if code := p.ExitCode(harness.Patience); code != 0 {
		w.t.Fatalf("bootstrap: exit code %d", code)
	}
	lines, _ := p.Stdout().All()
	return strings.Join(lines, "\n") + fmt.Sprintf(`
typedDnsResolverConfig:
  name: envoy.network.dns_resolver.cares
  typedConfig:
    "@type": type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig
    resolvers: [{socketAddress: {address: 127.0.0.1, portValue: %d}}]
    dnsResolverOptions: {noDefaultSearchDomain: true}
`, dns)
}

// serves waits until an Envoy opens sessions and lists all servers' tools.
func (w *world) serves(e *client.Envoy) {
	w.t.Helper()
	url := "http://" + e.Addr + "/mcp"
	harness.Eventually(w.t, e.Name+" with all servers", func() bool {
		c := harness.NewClient(w.t, url)
		r, err := c.Try(w.t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"`+
			harness.Revision+`","capabilities":{},"clientInfo":{"name":"wait","version":"1"}}}`)
		if err != nil || r.Status != http.StatusOK {
			return false
		}
		c = c.With(harness.HeaderSession+": "+r.Header.Get(harness.HeaderSession), harness.HeaderRevision+": "+harness.Revision)
		r, err = c.Try(w.t.Context(), http.MethodPost, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
		if err != nil {
			return false
		}
		for _, s := range servers {
			if !strings.Contains(r.Body, `"`+s.name+`_echo"`) {
				return false
			}
		}
		_, err = c.Try(w.t.Context(), http.MethodDelete, "")
		return err == nil
	})
}

// add starts a part.
func (w *world) add(name string, start func() *harness.Process) {
	w.parts[name] = &part{name: name, start: start}
	w.up(name)
}

// up starts a part's process.
func (w *world) up(name string) {
	w.t.Helper()
	p := w.parts[name]
	p.process = p.start()
	for _, k := range w.linksTo(name) {
		if err := k.Up(); err != nil {
			w.t.Fatal(err)
		}
	}
	w.who.Add(p.pid(), name)
}

// pid is the process that does a part's work: an Envoy is a child where something
// else stands before it (test/golanghost/contrib).
func (p *part) pid() int {
	if harness.Golang() && strings.HasPrefix(p.name, "envoy") {
		return p.process.Child("envoy").PID
	}
	return p.process.PID()
}

// kill ends a part as a crash does.
func (w *world) kill(name string) {
	w.parts[name].process.Kill()
	w.epochs[name] = 0
	w.down(name)
}

// down has everybody refused who connects to a part that has ended.
func (w *world) down(name string) {
	for _, k := range w.linksTo(name) {
		k.Down()
	}
}

func (w *world) linksTo(name string) []*link.Link {
	var found []*link.Link
	for of, k := range w.links {
		if of == name || strings.HasPrefix(of, name+"-") {
			found = append(found, k)
		}
	}
	return found
}

// hang stops a part's process; resume lets it go on.
func (w *world) hang(name string)   { w.signal(name, syscall.SIGSTOP) }
func (w *world) resume(name string) { w.signal(name, syscall.SIGCONT) }

func (w *world) signal(name string, sig syscall.Signal) {
	w.t.Helper()
	if err := syscall.Kill(w.parts[name].pid(), sig); err != nil {
		w.t.Fatalf("%s: signal %v: %v", name, sig, err)
	}
}

// lost notes that a server has lost its sessions.
func (w *world) lost(name string) {
	for _, s := range w.env.Servers {
		if s.Name == name {
			s.Runs.Add(1)
		}
	}
}

func (w *world) link(name, listen, target string) {
	w.t.Helper()
	k, err := link.New(listen, target, w.who)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(k.Close)
	w.links[name] = k
}

// server runs one of the servers and waits until it listens.
func (w *world) server(name, addr string, modern bool) *harness.Process {
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	p := harness.Start(w.t, name, self, nil, fmt.Sprintf("%s=%s %s %t", roleEnv, addr, name, modern))
	p.Up(addr)
	return p
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
