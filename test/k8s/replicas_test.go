package k8s

import (
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mcp-gateway/test/e2e/harness"
	"mcp-gateway/test/mcpserver"
)

const lease = "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: mcp-gateway-mcp, namespace: default}}"

// leader is who holds the lease; empty for nobody.
func (w *world) leader() string {
	w.t.Helper()
	l := w.Get(lease)
	if l == nil {
		return ""
	}
	holder, _, _ := unstructured.NestedString(l.Object, "spec", "holderIdentity")
	return holder
}

// One replica writes, all of them serve; another takes over from one that ends, and
// from one that is gone without a word.
func TestReplicas(t *testing.T) {
	w := newWorld(t, "")
	harness.Eventually(t, "a leader", func() bool { return w.leader() != "" })
	add := func(name string) (tool string) {
		w.t.Helper()
		name += "-" + unique()
		w.serve("default", name, mcpserver.Tools(name, "tool"))
		w.Apply(route("default", name, name))
		a := server("default", name, "targetRef: {name: "+name+"}, prefix: "+name+"_")
		began := time.Now()
		w.Apply(a)
		w.Want(a, "Ready=True/Listed")
		harness.Connect(t, w.URL).Tool(name+"_tool", "")
		t.Logf("%s is ready and called after %v", name, time.Since(began).Round(time.Millisecond))
		return name + "_tool"
	}
	first, c := add("first"), harness.Connect(t, w.URL)
	// Of two replicas the one that was there leads, until it ends.
	for i, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		w.addControlPlane(w.Kubeconfig)
		before, leads := w.leader(), w.ControlPlanes[i]
		leads.Signal(end)
		<-leads.Ended()
		began := time.Now()
		harness.Eventually(t, "another leader", func() bool {
			c.Tool(first, "") // goes on meanwhile
			now := w.leader()
			return now != "" && now != before
		})
		t.Logf("after %v another leads: %v", end, time.Since(began).Round(time.Millisecond))
		add([]string{"second", "third"}[i])
	}
}
