package localenv

import (
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

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
	// webhooks are where the Services' addresses lead that the API server asks.
	webhooks map[string]*atomic.Pointer[string]
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

// newNode has the programs of programs, too.
func newNode(t *testing.T, c *cluster.Cluster, programs string) *node {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(harness.Root(t), "envoy/compose/start.sh"), filepath.Join(dir, "start-envoy")); err != nil {
		t.Fatal(err)
	}
	path := []string{
		dir, programs, filepath.Dir(harness.Built(t, "mcp-gateway")), filepath.Dir(harness.EnvoyPath(t)),
		filepath.Dir(harness.Tool(t, ".tools/redis/redis-server")), os.Getenv("PATH"),
	}
	return &node{Cluster: c, t: t, path: strings.Join(path, ":"), runs: map[string]*rollout{}, webhooks: map[string]*atomic.Pointer[string]{}}
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
			if p.object != "" {
				n.Delete(p.object)
			}
		}
	}
	r := &rollout{deployment: *d}
	n.runs[string(d.UID)] = r
	count := int(*d.Spec.Replicas)
	if strings.Contains(d.Spec.Template.Spec.Containers[0].Image, "envoy") {
		count = 1 // it listens at every address
	}
	for range count {
		address := n.address()
		r.pods = append(r.pods, n.run(d, fmt.Sprintf("%s-%d", d.Name, n.pods), address))
	}
}

// publish makes the pods of a Deployment the endpoints of the Services that select
// them, and tells that it is rolled out.
func (n *node) publish(r *rollout) {
	n.t.Helper()
	d := &r.deployment
	var addresses, endpoints []string
	for _, p := range r.pods {
		addresses = append(addresses, p.address)
		of := ""
		if p.object != "" {
			of = fmt.Sprintf(", targetRef: {kind: Pod, name: %s, namespace: %s}", p.name, d.Namespace)
		}
		endpoints = append(endpoints, fmt.Sprintf("{addresses: [%s], conditions: {ready: true}%s}", p.address, of))
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
			if p.Port == 443 {
				n.forward(net.JoinHostPort(s.Spec.ClusterIP, "443"), fmt.Sprintf("%s:%d", addresses[0], at))
			}
		}
		n.Apply(fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[1]s-1, namespace: %[2]s, labels: {kubernetes.io/service-name: %[1]s}},
			addressType: IPv4, ports: [%[3]s], endpoints: [%[4]s]}`,
			s.Name, s.Namespace, strings.Join(ports, ", "), strings.Join(endpoints, ", ")))
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
	n.Status(n.manifest(status))
}

// forward does what a node does for the address of a Service: the API server asks
// webhooks there.
func (n *node) forward(from, to string) {
	n.t.Helper()
	if target := n.webhooks[from]; target != nil {
		target.Store(&to)
		return
	}
	l, err := net.Listen("tcp", from)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = l.Close() })
	target := &atomic.Pointer[string]{}
	target.Store(&to)
	n.webhooks[from] = target
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go relay(conn, *target.Load())
		}
	}()
}

// relay hands what comes by a connection to an address, and back.
func relay(conn net.Conn, to string) {
	defer conn.Close() //nolint:errcheck // who asked asks again
	other, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer other.Close() //nolint:errcheck // the same
	go func() { _, _ = io.Copy(other, conn) }()
	_, _ = io.Copy(conn, other)
}

func selects(selector, labels map[string]string) bool {
	for name := range maps.Keys(selector) {
		if labels[name] != selector[name] {
			return false
		}
	}
	return true
}
