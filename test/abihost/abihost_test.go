// Package abihost runs the filter's library in a host that is stricter than
// Envoy: host/*.c ends the process when the module calls what it may not call just
// then, or touches a stream that is destroyed, which happens in every phase and
// from within calls of its own. With the address sanitizer, in the module and in
// the host, it also ends for memory that is used after its time. The module is
// the one that panics on demand.
package abihost

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/filter/dynamicmodule/moduletest"
)

var (
	seed    = flag.String("seed", "1", "what chance begins with")
	streams = flag.String("streams", "5000", "streams on each of four threads")
)

func TestModuleKeepsToTheABI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(env, name string, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir = filepath.Join("..", "..")
		c.Env = append(os.Environ(), env)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	host, module := filepath.Join(dir, "host"), filepath.Join(dir, "module.so")
	compile := []string{
		"-std=gnu11", "-g", "-O1", "-Wall", "-rdynamic", "-Ifilter/dynamicmodule/lib", "-o", host,
		"test/abihost/host/main.c", "test/abihost/host/callbacks.c", "-ldl", "-lpthread",
	}
	build := []string{"build", "-buildmode=c-shared", "-tags=panics", "-o", module}
	if out, err := run("LC_ALL=C", "cc", "-fsanitize=address", "-shared", "-o", filepath.Join(dir, "probe"), "-x", "c", write("probe.c", "")); err == nil {
		compile, build = append(compile, "-fsanitize=address"), append(build, "-asan")
	} else {
		t.Logf("without the address sanitizer, which this compiler does not have: %s", out)
	}
	if out, err := run("LC_ALL=C", "cc", compile...); err != nil {
		t.Fatalf("compile the host: %v\n%s", err, out)
	}
	if out, err := run("CGO_ENABLED=1", "go", append(build, "./filter/dynamicmodule/lib")...); err != nil {
		t.Fatalf("build the module: %v\n%s", err, out)
	}
	// What the Go runtime holds looks lost to the sanitizer.
	out, err := run("ASAN_OPTIONS=detect_leaks=0", host, module,
		write("config.json", moduletest.Static),
		write("table.json", string(moduletest.Table())), *seed, *streams)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
	for _, figure := range []string{"answered=", "continued=", "whole=", "typed=", "resets=", "questions=", "panics="} {
		if _, n, ok := strings.Cut(out, figure); !ok || n[0] == '0' {
			t.Errorf("no %s in %q: not every kind of stream has been there", figure, out)
		}
	}
}
