// Package localenv holds what makes a cluster on one machine to its promises.
package localenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
	"mcp-gateway/test/k8s/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Run(m)) }

// kindStandIn and dockerStandIn take the place of the two programs that cannot run
// here: the cluster is there already, and its node needs no images.
const (
	kindStandIn = `#!/bin/sh
echo "kind $*" >>"$CALLS"
case "$1 $2" in
"get clusters") [ ! -f "$CALLS.cluster" ] || echo mcp-gateway ;;
"create cluster") touch "$CALLS.cluster" ;;
"delete cluster") rm "$CALLS.cluster" ;;
esac
`
	dockerStandIn = `#!/bin/sh
echo "docker $*" >>"$CALLS"
`
)

// local is make local-env-setup with everything real but Kind, Docker and the kubelet:
// kubectl, Helm, the API server, what the manifests run, their probes, and the call at
// the end.
type local struct {
	*cluster.Cluster
	t          *testing.T
	node       *node
	dir, calls string
	env        []string
}

// newLocal takes what the script is told by its environment; the folder programs has
// some that images have.
func newLocal(t *testing.T, programs string, env ...string) *local {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatalf("%v: install it", err)
	}
	c := cluster.Start(t)
	l := &local{Cluster: c, t: t, node: newNode(t, c, programs), dir: t.TempDir()}
	l.calls = filepath.Join(l.dir, "calls")
	write(t, filepath.Join(l.dir, "kind"), kindStandIn)
	write(t, filepath.Join(l.dir, "docker"), dockerStandIn)
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts["kind-mcp-gateway"] = config.Contexts[config.CurrentContext]
	config.CurrentContext = ""
	kubeconfig := filepath.Join(l.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"kubectl": cluster.Kubectl(t), "helm": cluster.Helm(t)} {
		if err := os.Symlink(path, filepath.Join(l.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	l.env = append(env, "PATH="+l.dir+":"+os.Getenv("PATH"), "CALLS="+l.calls, "KUBECONFIG="+kubeconfig, "HOME="+l.dir,
		"GATEWAY_API="+filepath.Dir(cluster.GatewayAPI(t)))
	return l
}

// run runs the script, and returns what it says.
func (l *local) run(command string, env ...string) (string, error) {
	l.t.Helper()
	script := exec.CommandContext(l.t.Context(), filepath.Join(harness.Root(l.t), "scripts/local-env.sh"), command)
	script.Env = slices.Concat(os.Environ(), l.env, env)
	var out strings.Builder
	script.Stdout, script.Stderr = &out, &out
	ended := make(chan error, 1)
	go func() { ended <- script.Run() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return out.String(), err
		case <-tick.C:
			l.node.tend()
		}
	}
}

// setUp runs it twice: the second time it finds all of it there.
func (l *local) setUp() {
	l.t.Helper()
	for _, again := range []bool{false, true} {
		began := time.Now()
		out, err := l.run("setup")
		if err != nil {
			l.t.Fatalf("%v\n%s", err, out)
		}
		l.t.Logf("set up in %v", time.Since(began).Round(time.Second))
		for _, want := range []string{"weather_get_weather answers", "cal_list_events answers", "The gateway serves http://mcp.127-0-0-1.sslip.io:8888/mcp"} {
			if !strings.Contains(out, want) {
				l.t.Errorf("it does not say %q:\n%s", want, out)
			}
		}
		if strings.Contains(out, "the cluster mcp-gateway is there") != again {
			l.t.Errorf("the cluster was there: want %v\n%s", again, out)
		}
	}
}

func TestLocalEnv(t *testing.T) {
	root := harness.Root(t)
	for file, want := range map[string]string{
		"scripts/local-env.sh":        "GATEWAY_API_VERSION=" + version(t) + " ",
		"deploy/kind/cluster.yaml":    "hostPort: 8888, containerPort: 30888",
		"deploy/kind/own/values.yaml": "nodePort: 30888",
	} {
		if !strings.Contains(read(t, filepath.Join(root, file)), want) {
			t.Errorf("%s has no %q", file, want)
		}
	}
	l := newLocal(t, "")
	l.setUp()
	got := harness.Connect(t, "http://127.0.0.1:8888/mcp").Names("tools/list")
	if !slices.Contains(got, "weather_get_weather") || !slices.Contains(got, "cal_add_event") {
		t.Errorf("tools %v", got)
	}
	if out, err := l.run("setup", "GATEWAY=istio"); err == nil || !strings.Contains(out, "was made with GATEWAY=own") {
		t.Errorf("another way in: %v\n%s", err, out)
	}
	for _, want := range []string{"removing the cluster", "there is no cluster"} {
		if out, err := l.run("teardown"); err != nil || !strings.Contains(out, want) {
			t.Errorf("teardown, to say %q: %v\n%s", want, err, out)
		}
	}
	said := read(t, l.calls)
	for _, want := range []string{
		"kind create cluster --name mcp-gateway --config deploy/kind/cluster.yaml", "kind delete cluster --name mcp-gateway",
		"docker build --quiet --target envoy --tag mcp-gateway/envoy:local .",
		"kind load docker-image --name mcp-gateway mcp-gateway/gateway:local mcp-gateway/envoy:local mcp-gateway/demo:local redis:7",
	} {
		if strings.Count(said, want) == 0 {
			t.Errorf("%q was not run:\n%s", want, said)
		}
	}
	if strings.Count(said, "kind create") != 1 {
		t.Errorf("the cluster was made more than once:\n%s", said)
	}
}

func write(t *testing.T, program, text string) {
	t.Helper()
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// version is that of the Gateway API in go.mod.
func version(t *testing.T) string {
	t.Helper()
	_, rest, _ := strings.Cut(read(t, filepath.Join(harness.Root(t), "go.mod")), "sigs.k8s.io/gateway-api ")
	version, _, _ := strings.Cut(rest, "\n")
	return version
}
