// Package compose tests docker-compose.yaml and the images: what can be told
// from the files, always; the running containers, when asked for, since that
// takes minutes, disk space, and a Docker daemon or root.
package compose

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"mcp-gateway/controlplane/source/file"
)

const root = "../.."

const golangDockerfile = "envoy/compose/golang.Dockerfile"

// proveEnv asks for the running containers.
const proveEnv = "MCP_GATEWAY_PROVE_COMPOSE"

// service is what the tests look at of a service in docker-compose.yaml.
type service struct {
	Image       string         `yaml:"image"`
	Build       map[string]any `yaml:"build"`
	User        string         `yaml:"user"`
	ReadOnly    bool           `yaml:"read_only"`
	CapDrop     []string       `yaml:"cap_drop"`
	CapAdd      []string       `yaml:"cap_add"`
	Security    []string       `yaml:"security_opt"`
	Privileged  bool           `yaml:"privileged"`
	Ports       []string       `yaml:"ports"`
	Restart     string         `yaml:"restart"`
	Healthcheck map[string]any `yaml:"healthcheck"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
}

// once reports whether the service ends by itself.
func (s service) once() bool { return s.Restart == "no" }

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func services(t *testing.T) map[string]service {
	t.Helper()
	var parsed struct {
		Services map[string]service `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "docker-compose.yaml")), &parsed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"envoy", "broker", "controlplane", "redis", "weather", "cal"} {
		if _, ok := parsed.Services[want]; !ok {
			t.Fatalf("no service %s", want)
		}
	}
	return parsed.Services
}

func TestEveryServiceIsHardened(t *testing.T) {
	t.Parallel()
	for name, s := range services(t) {
		user, _, _ := strings.Cut(s.User, ":")
		if user == "" || user == "0" || user == "root" {
			t.Errorf("%s runs as %q", name, s.User)
		}
		if !s.ReadOnly {
			t.Errorf("%s has a writable file system", name)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged {
			t.Errorf("%s keeps capabilities", name)
		}
		if !slices.Contains(s.Security, "no-new-privileges:true") {
			t.Errorf("%s can gain privileges", name)
		}
	}
}

func TestOnlyEnvoyIsReachableAndOnlyFromThisMachine(t *testing.T) {
	t.Parallel()
	for name, s := range services(t) {
		isEnvoy := name == "envoy" || name == "envoy-golang"
		if !isEnvoy && len(s.Ports) > 0 {
			t.Errorf("%s publishes %v", name, s.Ports)
		}
		if isEnvoy && (len(s.Ports) != 1 || !strings.HasPrefix(s.Ports[0], "127.0.0.1:")) {
			t.Errorf("%s publishes %v, want one port on 127.0.0.1", name, s.Ports)
		}
	}
}

// A service that another one waits for must tell when it is ready.
func TestStartIsOrdered(t *testing.T) {
	t.Parallel()
	all := services(t)
	for name, s := range all {
		if !s.once() && s.Healthcheck["test"] == nil {
			t.Errorf("%s has no health check", name)
		}
		for other, dependency := range s.DependsOn {
			want := "service_healthy"
			if all[other].once() {
				want = "service_completed_successfully"
			}
			if dependency.Condition != want {
				t.Errorf("%s waits for %s to be %q, want %q", name, other, dependency.Condition, want)
			}
		}
	}
}

// Nobody pulls an image that only the build makes.
func TestOwnImagesAreBuilt(t *testing.T) {
	t.Parallel()
	for name, s := range services(t) {
		if own := strings.HasPrefix(s.Image, "mcp-gateway/"); own != (s.Build != nil) {
			t.Errorf("%s: image %s, build %v", name, s.Image, s.Build)
		}
		if s.Build == nil {
			continue
		}
		target, _ := s.Build["target"].(string)
		dockerfile, ok := s.Build["dockerfile"].(string)
		if !ok {
			dockerfile = "Dockerfile"
		}
		if !strings.Contains(read(t, dockerfile), " AS "+target+"\n") {
			t.Errorf("%s is built from target %q, which %s lacks", name, target, dockerfile)
		}
	}
}

// pinned returns what the pattern's group finds in a file, the only time.
func pinned(t *testing.T, path, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)`+pattern).FindAllStringSubmatch(read(t, path), -1)
	if len(found) != 1 {
		t.Fatalf("%s has %d places like %s, want one", path, len(found), pattern)
	}
	return found[0][1]
}

func TestBaseImagesArePinned(t *testing.T) {
	t.Parallel()
	if got, want := pinned(t, "Dockerfile", `^ARG ENVOY_IMAGE=envoyproxy/envoy:v(\S+)$`), pinned(t, "scripts/tools.sh", `^readonly ENVOY_DEFAULT=(\S+)$`); got != want {
		t.Errorf("the image has Envoy %s, the other tests have %s", got, want)
	}
	// What a library for the contrib build and Envoy call of each other goes with the
	// version.
	if got, want := pinned(t, golangDockerfile, `^ARG ENVOY_IMAGE=envoyproxy/envoy:contrib-v(\S+)$`), pinned(t, "go.mod", `^\tgithub.com/envoyproxy/envoy v(\S+)$`); got != want {
		t.Errorf("the contrib image has Envoy %s, the library is built for %s", got, want)
	}
	if got, want := pinned(t, golangDockerfile, `^ARG GO_IMAGE=(\S+)$`), pinned(t, "Dockerfile", `^ARG GO_IMAGE=(\S+)$`); got != want {
		t.Errorf("the contrib image is built with %s, the other one with %s", got, want)
	}
	language := pinned(t, "go.mod", `^go (\d+\.\d+)(?:\.\d+)?$`)
	if got := pinned(t, "Dockerfile", `^ARG GO_IMAGE=golang:(\d+\.\d+)\.\d+-bookworm$`); got != language {
		t.Errorf("the image has Go %s, go.mod says %s", got, language)
	}
}

func TestTheConfigurationIsValid(t *testing.T) {
	t.Parallel()
	g, problems := file.Load(filepath.Join(root, "envoy/compose/gateway.yaml"), os.LookupEnv)
	// Its port is published on the loopback address only: nobody has to log in.
	const open = "configure auth"
	if g == nil || len(problems) != 1 || !problems[0].Warning || !strings.Contains(problems[0].Message, open) {
		t.Fatalf("problems: %v; want one, a warning with %q", problems, open)
	}
	var names []string
	for _, s := range g.EnabledServers() {
		names = append(names, s.Name)
	}
	all := services(t)
	for _, name := range names {
		if _, ok := all[name]; !ok {
			t.Errorf("server %s is no service of docker-compose.yaml", name)
		}
	}
	if !strings.HasPrefix(g.Sessions.Store, "redis://redis:") {
		t.Error("sessions are not kept in the service redis")
	}
}

// TestContainers runs prove.sh, whose output tells each check.
func TestContainers(t *testing.T) {
	if os.Getenv(proveEnv) == "" {
		t.Skipf("takes minutes and a Docker daemon or root: set %s=1", proveEnv)
	}
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		// Time to remove the containers before the test binary is killed.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-3*time.Minute))
		defer cancel()
	}
	c := exec.CommandContext(ctx, "./prove.sh")
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 150 * time.Second
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 77:
		t.Skipf("skipped: no Docker daemon\n%s", out)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	default:
		t.Logf("%s", out)
	}
	for line := range strings.Lines(string(out)) {
		verdict, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verdict != "ok" && verdict != "FAILED" {
			continue
		}
		t.Run(strings.TrimSpace(name), func(t *testing.T) {
			if verdict != "ok" {
				t.Fail()
			}
		})
	}
}
