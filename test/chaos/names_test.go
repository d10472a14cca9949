package chaos

import (
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcp-gateway/test/e2e/harness"
)

// A library in Envoy asks the system for a name, and not the name server that Envoy
// is told of. resolver is a library that is loaded before the system's and knows the
// brokers' name; of any other name the system is asked.
const resolver = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int (*finder)(const char*, const char*, const struct addrinfo*, struct addrinfo**);

int getaddrinfo(const char* name, const char* service, const struct addrinfo* hints, struct addrinfo** found) {
  static const char* const addresses[] = {ADDRESSES};
  static finder real;
  if (!real) real = (finder)dlsym(RTLD_NEXT, "getaddrinfo");
  if (name == NULL || strcmp(name, NAME) != 0) return real(name, service, hints, found);
  *found = NULL;
  for (unsigned i = 0; i < sizeof addresses / sizeof *addresses; i++) {
    struct addrinfo* first;
    int failed = real(addresses[i], service, hints, &first);
    if (failed) return failed;
    struct addrinfo* last = first;
    while (last->ai_next) last = last->ai_next;
    last->ai_next = *found;
    *found = first;
  }
  return 0;
}
`

// resolve is what an Envoy is started with, so that a library in it finds addrs under
// a name.
func (c *clocks) resolve(t *testing.T, name string, addrs []netip.Addr) []string {
	t.Helper()
	if !harness.Golang() {
		return nil // the module leaves it to Envoy
	}
	var list []string
	for _, a := range addrs {
		list = append(list, `"`+a.String()+`"`)
	}
	source, library := filepath.Join(c.dir, "resolver.c"), filepath.Join(c.dir, "resolver.so")
	write(t, source, resolver)
	build := exec.Command("cc", "-shared", "-fPIC", "-O1", "-DNAME=\""+name+"\"", "-DADDRESSES="+strings.Join(list, ","), "-o", library, source, "-ldl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v: %s", err, out)
	}
	return []string{"LD_PRELOAD=" + c.library + ":" + library, "GODEBUG=netdns=cgo"}
}
