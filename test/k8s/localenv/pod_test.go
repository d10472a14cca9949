package localenv

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mcp-gateway/test/e2e/harness"
)

// pod is a process, or was one.
type pod struct {
	name, address string
	process       *harness.Process
	object        string // as a manifest; "" if the cluster does not know it
}

// entrypoints are what images run when a container has no command, by the last part of
// their name.
var entrypoints = map[string]string{"gateway": "mcp-gateway", "pilot": "pilot-discovery", "proxyv2": "pilot-agent"}

// run runs the containers of a pod, each in its turn: the last of them stays.
func (n *node) run(d *appsv1.Deployment, name, address string) *pod {
	n.t.Helper()
	p := &pod{name: name, address: address}
	spec := &d.Spec.Template.Spec
	files := n.mounts(spec)
	for i := range spec.InitContainers {
		line, env := n.command(d, p, &spec.InitContainers[i], files)
		c := exec.CommandContext(n.t.Context(), n.find(line[0]), line[1:]...)
		c.Env = env
		if out, err := c.CombinedOutput(); err != nil {
			n.t.Fatalf("%s of %s: %v\n%s", spec.InitContainers[i].Name, name, err, out)
		}
	}
	line, env := n.command(d, p, &spec.Containers[0], files)
	p.process = harness.Start(n.t, name+"@"+address, n.find(line[0]), line[1:], env...)
	if spec.ServiceAccountName != "" { // of others there is no account here, so no pod either
		n.register(d, p)
	}
	return p
}

// mounts has the paths of a pod's files, each followed by where it is here: a folder of
// the volume, or of the image.
func (n *node) mounts(spec *corev1.PodSpec) *strings.Replacer {
	n.t.Helper()
	pairs := []string{"/usr/local/lib/mcp-gateway", filepath.Dir(harness.Built(n.t, "libmcp_gateway.so"))}
	folders := map[string]string{}
	for _, v := range spec.Volumes {
		if v.EmptyDir != nil {
			folders[v.Name] = n.t.TempDir()
		}
	}
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		for _, m := range c.VolumeMounts {
			if folder := folders[m.Name]; folder != "" && !slices.Contains(pairs, m.MountPath) {
				pairs = append(pairs, m.MountPath, folder)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// command is what a container runs, and its environment.
func (n *node) command(d *appsv1.Deployment, p *pod, c *corev1.Container, files *strings.Replacer) (line, env []string) {
	n.t.Helper()
	line = append(slices.Clone(c.Command), c.Args...)
	if len(c.Command) == 0 {
		image, _, _ := strings.Cut(path.Base(c.Image), ":")
		line = append([]string{entrypoints[image]}, c.Args...)
	}
	for i := range line {
		line[i] = files.Replace(strings.ReplaceAll(line[i], "0.0.0.0", p.address))
	}
	env = []string{"PATH=" + n.path, "TMPDIR=" + n.t.TempDir(), "ENVOY_DYNAMIC_MODULES_SEARCH_PATH=" + filepath.Dir(harness.Built(n.t, "libmcp_gateway.so"))}
	for _, e := range c.Env {
		value := files.Replace(e.Value)
		if from := e.ValueFrom; from != nil {
			switch {
			case from.SecretKeyRef != nil:
				value = n.secret(d.Namespace, from.SecretKeyRef)
			case from.FieldRef != nil:
				value = map[string]string{
					"metadata.name": p.name, "metadata.namespace": d.Namespace, "status.podIP": p.address, "status.hostIP": p.address,
					"spec.serviceAccountName": d.Spec.Template.Spec.ServiceAccountName, "spec.nodeName": "node",
				}[from.FieldRef.FieldPath]
			default:
				continue // limits, which nothing here has
			}
		}
		env = append(env, e.Name+"="+value)
	}
	if account := d.Spec.Template.Spec.ServiceAccountName; account != "" {
		env = append(env, "KUBECONFIG="+n.AccountKubeconfig(d.Namespace, account))
	}
	return line, env
}

// register makes a pod an object of the cluster, of no node: so it goes at once.
func (n *node) register(d *appsv1.Deployment, p *pod) {
	n.t.Helper()
	identity := map[string]any{"name": p.name, "namespace": d.Namespace}
	p.object = n.manifest(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": identity})
	template := &d.Spec.Template
	identity["labels"], identity["annotations"] = template.Labels, template.Annotations
	n.Apply(n.manifest(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": identity, "spec": template.Spec}))
	n.Status(n.manifest(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": identity,
		"status": corev1.PodStatus{Phase: corev1.PodRunning, PodIP: p.address, PodIPs: []corev1.PodIP{{IP: p.address}}},
	}))
}

func (n *node) manifest(object map[string]any) string {
	n.t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
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

// port is that of a container, by its name or number.
func (n *node) port(c *corev1.Container, want intstr.IntOrString) int32 {
	n.t.Helper()
	if want.Type == intstr.Int {
		return want.IntVal
	}
	for _, p := range c.Ports {
		if p.Name == want.StrVal {
			return p.ContainerPort
		}
	}
	n.t.Fatalf("the container %s has no port %s", c.Name, want.StrVal)
	return 0
}
