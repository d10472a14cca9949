package abihost

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	// The module whose header describes the ABI; nothing of it is linked.
	_ "github.com/envoyproxy/envoy/source/extensions/dynamic_modules/abi"
)

// TestHeaderMatchesEnvoys compiles envoy.h after Envoy's own abi.h. Where a
// function is declared otherwise than by Envoy, the compiler refuses. The
// structures have names of their own, so each of ours is defined as Envoy's
// first, and its layout compared member by member.
func TestHeaderMatchesEnvoys(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/envoyproxy/envoy/source/extensions/dynamic_modules").Output()
	if err != nil {
		t.Fatalf("finding Envoy's header: %v", err)
	}
	ours, err := os.ReadFile("../../filter/dynamicmodule/lib/envoy.h")
	if err != nil {
		t.Fatal(err)
	}
	source := `#include "` + filepath.Join(strings.TrimSpace(string(out)), "abi", "abi.h") + `"
typedef struct { const char* ptr; size_t length; } mine_bytes;
typedef struct { const char* key; size_t key_length; const char* value; size_t value_length; } mine_header;
_Static_assert(offsetof(mine_bytes, length) == offsetof(envoy_dynamic_module_type_envoy_buffer, length), "bytes");
_Static_assert(sizeof(mine_bytes) == sizeof(envoy_dynamic_module_type_envoy_buffer), "bytes");
_Static_assert(sizeof(mine_bytes) == sizeof(envoy_dynamic_module_type_module_buffer), "bytes");
_Static_assert(offsetof(mine_header, value) == offsetof(envoy_dynamic_module_type_envoy_http_header, value_ptr), "header");
_Static_assert(offsetof(mine_header, value_length) == offsetof(envoy_dynamic_module_type_module_http_header, value_length), "header");
_Static_assert(sizeof(mine_header) == sizeof(envoy_dynamic_module_type_envoy_http_header), "header");
#define FOR_ALL(X) ` + declared(string(ours)) + `
#define KNOWN(f) static void* use_##f(void) { return (void*)f; }
FOR_ALL(KNOWN)
`
	dir := t.TempDir()
	file := filepath.Join(dir, "abi.c")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command("cc", "-std=gnu11", "-fsyntax-only", "-Wall", "-Werror", "-Wno-unused-function", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, msg)
	}
	arities(t, string(ours), filepath.Join(strings.TrimSpace(string(out)), "abi", "abi.h"))
}

// declared lists the callbacks that our header declares, as uses of X.
func declared(header string) string {
	var b strings.Builder
	for _, part := range strings.Split(header, "CALLBACK(")[1:] {
		name, _, _ := strings.Cut(part, ")")
		if name != "name" {
			b.WriteString("X(envoy_dynamic_module_callback_" + name + ") ")
		}
	}
	return b.String()
}

// arities compares the number of parameters of each callback.
func arities(t *testing.T, ours, theirs string) {
	t.Helper()
	text, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, part := range strings.Split(ours, "CALLBACK(")[1:] {
		name, rest, _ := strings.Cut(part, ")")
		if name == "name" {
			continue
		}
		mine := parameters(rest)
		full := "envoy_dynamic_module_callback_" + name + "("
		found := false
		for _, at := range strings.Split(string(text), "\n"+full)[1:] {
			found = true
			if n := parameters("(" + at); n != mine {
				t.Errorf("%s: %d parameters, Envoy has %d", name, mine, n)
			}
		}
		if !found {
			for _, at := range strings.Split(string(text), " "+full)[1:] {
				if n := parameters("(" + at); n != mine {
					t.Errorf("%s: %d parameters, Envoy has %d", name, mine, n)
				}
				found = true
			}
		}
		if !found {
			t.Errorf("%s: Envoy has no such callback", name)
		}
		checked++
	}
	if checked < 20 {
		t.Errorf("only %d callbacks found in envoy.h", checked)
	}
}

func parameters(s string) int {
	list, _, _ := strings.Cut(s[1:], ")")
	if list = strings.TrimSpace(list); list == "" || list == "void" {
		return 0
	}
	return strings.Count(list, ",") + 1
}
