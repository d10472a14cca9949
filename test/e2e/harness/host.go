package harness

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Golang reports whether the filter runs in contrib's filter for Go, for which
// test/golanghost stands in: $HOST, which scripts/host.sh sets together with
// $ENVOY. Else it runs as a dynamic module.
func Golang() bool { return os.Getenv("HOST") == "golang" }

// Library is the filter's library as it was built.
func Library(t testing.TB) string {
	t.Helper()
	if Golang() {
		return Built(t, "libmcp_gateway_golang.so")
	}
	return Built(t, "libmcp_gateway.so")
}

// Args are the arguments of a command of the gateway, which is about an Envoy, for
// the host under test.
func Args(t testing.TB, command string, args ...string) []string {
	t.Helper()
	var host []string
	if Golang() {
		host = []string{"--filter-host", "golang"}
		if command == "controlplane" || command == "render" {
			host = append(host, "--filter-library", Library(t))
		}
	}
	return slices.Concat([]string{command}, host, args)
}

// labelled is a metric whose labels stand in its name, as contrib's filter has them:
// "errors.reason.denied" is errors{reason="denied"}.
func labelled(name string) string {
	base, rest, _ := strings.Cut(name, ".")
	var labels []string
	for rest != "" {
		var key, value string
		key, rest, _ = strings.Cut(rest, ".")
		value, rest, _ = strings.Cut(rest, ".")
		labels = append(labels, key+`="`+value+`"`)
	}
	return base + "{" + strings.Join(labels, ",") + "}"
}
