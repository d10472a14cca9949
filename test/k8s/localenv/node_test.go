package localenv

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/k8s/cluster"
	"mcp-gateway/test/k8s/netns"
)

// node does what a cluster's controllers and its nodes do: it runs the containers of
// Deployments, as processes at addresses of pods, makes those that are ready the
// endpoints of Services, and says so in the Deployments' status. Of images it knows the
// programs.
type node struct {
	*cluster.Cluster
	t    *testing.T
	path string // PATH of all containers
	runs map[string]*rollout
	pods int
}

// address is one that no pod had.
func (n *node) address() string {
	n.pods++
	return fmt.Sprintf("10.250.1.%d", n.pods)
}

// rollout is a Deployment as it runs.
type rollout struct {
	deployment appsv1.Deployment
	pods       []*pod
	ready      bool
}

type pod struct {
	address string
	process *harness.Process
}

// entrypoints are what images run when a container has no command.
var entrypoints = map[string]string{"mcp-gateway/gateway:local": "mcp-gateway"}

func newNode(t *testing.T, c *cluster.Cluster) *node {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(harness.Root(t), "envoy/compose/start.sh"), filepath.Join(dir, "start-envoy")); err != nil {
		t.Fatal(err)
	}
	path := []string{
		dir, filepath.Dir(harness.Built(t, "mcp-gateway")), filepath.Dir(harness.EnvoyPath(t)),
		filepath.Dir(harness.Tool(t, ".tools/redis/redis-server")), os.Getenv("PATH"),
	}
	return &node{Cluster: c, t: t, path: strings.Join(path, ":"), runs: map[string]*rollout{}}
}

// tend looks at all Deployments once.
func (n *node) tend() {
	n.t.Helper()
	for _, u := range n.List("apps/v1", "Deployment", "") {
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &d); err != nil {
			n.t.Fatal(err)
		}
		r := n.runs[string(d.UID)]
		switch {
		case r == nil || r.deployment.Generation != d.Generation:
			n.start(&d)
		case !r.ready && n.allReady(r):
			r.ready = true
			n.publish(r)
		}
	}
}

// start runs the pods of a Deployment, and ends those it had.
func (n *node) start(d *appsv1.Deployment) {
	n.t.Helper()
	if r := n.runs[string(d.UID)]; r != nil {
		for _, p := range r.pods {
			p.process.Signal(syscall.SIGTERM)
			<-p.process.Ended()
		}
	}
	r := &rollout{deployment: *d}
	n.runs[string(d.UID)] = r
	count := int(*d.Spec.Replicas)
	if strings.Contains(d.Spec.Template.Spec.Containers[0].Image, "envoy") {
		count = 1 // it listens at every address
	}
	for range count {
		r.pods = append(r.pods, n.run(d, n.address()))
	}
}

func (n *node) run(d *appsv1.Deployment, address string) *pod {
	n.t.Helper()
	spec := d.Spec.Template.Spec
	c := spec.Containers[0]
	line := append(slices.Clone(c.Command), c.Args...)
	if len(c.Command) == 0 {
		line = append([]string{entrypoints[c.Image]}, c.Args...)
	}
	for i := range line {
		line[i] = strings.ReplaceAll(line[i], "0.0.0.0", address)
	}
	env := []string{"PATH=" + n.path, "TMPDIR=" + n.t.TempDir(), "ENVOY_DYNAMIC_MODULES_SEARCH_PATH=" + filepath.Dir(harness.Built(n.t, "libmcp_gateway.so"))}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = n.secret(d.Namespace, e.ValueFrom.SecretKeyRef)
		}
		env = append(env, e.Name+"="+value)
	}
	if spec.ServiceAccountName != "" {
		env = append(env, "KUBECONFIG="+n.AccountKubeconfig(d.Namespace, spec.ServiceAccountName))
	}
	return &pod{address, harness.Start(n.t, d.Name+"@"+address, n.find(line[0]), line[1:], env...)}
}

// find looks a program up where containers have theirs.
func (n *node) find(program string) string {
	n.t.Helper()
	for _, dir := range filepath.SplitList(n.path) {
		if file := filepath.Join(dir, program); filepath.IsAbs(file) {
			if _, err := os.Stat(file); err == nil {
				return file
			}
		}
	}
	n.t.Fatalf("no program %s", program)
	return ""
}

func (n *node) secret(namespace string, ref *corev1.SecretKeySelector) string {
	n.t.Helper()
	u := n.Get(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}}", ref.Name, namespace))
	var s corev1.Secret
	if u == nil {
		n.t.Fatalf("a container wants the Secret %s/%s", namespace, ref.Name)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &s); err != nil {
		n.t.Fatal(err)
	}
	return string(s.Data[ref.Key])
}

// allReady asks the probes of all pods.
func (n *node) allReady(r *rollout) bool {
	n.t.Helper()
	c := &r.deployment.Spec.Template.Spec.Containers[0]
	for _, p := range r.pods {
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
			if probe != nil && !n.answers(c, probe, p.address) {
				return false
			}
		}
	}
	return true
}

func (n *node) answers(c *corev1.Container, probe *corev1.Probe, address string) bool {
	n.t.Helper()
	switch {
	case probe.HTTPGet != nil:
		resp, err := http.Get(fmt.Sprintf("http://%s:%d%s", address, n.port(c, probe.HTTPGet.Port), probe.HTTPGet.Path))
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode < 400
	case probe.TCPSocket != nil:
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", address, n.port(c, probe.TCPSocket.Port)), time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	default:
		return exec.CommandContext(n.t.Context(), n.find(probe.Exec.Command[0]), probe.Exec.Command[1:]...).Run() == nil
	}
}

// port is that of a container, by its name.
func (n *node) port(c *corev1.Container, want intstr.IntOrString) int32 {
	n.t.Helper()
	for _, p := range c.Ports {
		if p.Name == want.StrVal {
			return p.ContainerPort
		}
	}
	n.t.Fatalf("the container %s has no port %s", c.Name, want.StrVal)
	return 0
}

// publish makes the pods of a Deployment the endpoints of the Services that select
// them, and tells that it is rolled out.
func (n *node) publish(r *rollout) {
	n.t.Helper()
	d := &r.deployment
	var addresses []string
	for _, p := range r.pods {
		addresses = append(addresses, p.address)
	}
	for _, u := range n.List("v1", "Service", r.deployment.Namespace) {
		var s corev1.Service
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &s); err != nil {
			n.t.Fatal(err)
		}
		if len(s.Spec.Selector) == 0 || !selects(s.Spec.Selector, d.Spec.Template.Labels) {
			continue
		}
		var ports []string
		for _, p := range s.Spec.Ports {
			at := n.port(&d.Spec.Template.Spec.Containers[0], p.TargetPort)
			ports = append(ports, fmt.Sprintf("{name: %s, port: %d, protocol: TCP}", p.Name, at))
		}
		n.Apply(fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}},
			addressType: IPv4, ports: [%[3]s], endpoints: [{addresses: [%[4]s], conditions: {ready: true}}]}`,
			s.Name, s.Namespace, strings.Join(ports, ", "), strings.Join(addresses, "]}, {addresses: [")))
		for _, domain := range []string{".svc", ".svc.cluster.local"} {
			netns.Name(s.Name+"."+s.Namespace+domain, addresses...)
		}
	}
	status := map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": d.Name, "namespace": d.Namespace}, "status": appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: *d.Spec.Replicas, UpdatedReplicas: *d.Spec.Replicas, ReadyReplicas: *d.Spec.Replicas, AvailableReplicas: *d.Spec.Replicas,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable"},
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
		},
	}}
	text, err := json.Marshal(status)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Status(string(text))
}

func selects(selector, labels map[string]string) bool {
	for name := range maps.Keys(selector) {
		if labels[name] != selector[name] {
			return false
		}
	}
	return true
}
