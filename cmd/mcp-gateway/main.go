// Command mcp-gateway is the gateway in one program:
//
//	mcp-gateway run --config FILE    Envoy, broker and control plane, all in one
//	mcp-gateway broker               the broker alone
//	mcp-gateway controlplane         the control plane alone
//	mcp-gateway validate FILE        every mistake of a configuration
//	mcp-gateway render FILE          a static envoy.yaml
//	mcp-gateway bootstrap            an envoy.yaml that asks the control plane
//	mcp-gateway schema               the JSON Schema of the configuration
//	mcp-gateway pin                  what servers offer, into the lock file
//	mcp-gateway diff, approve        what is not trusted as it is; trust it
//	mcp-gateway healthcheck URL      status 1 unless the URL answers well
//	mcp-gateway version
//
// Logs and errors go to standard error; standard output has what was asked for
// alone. SIGTERM, SIGINT and, unless it is ignored, SIGHUP end it with status 0: run
// lets the calls end that are under way, for up to --drain, unless a second signal
// comes, and is gone within five seconds after that. Failures end it with status 1.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := command().ExecuteContext(untilSignal()); err != nil {
		fmt.Fprintln(os.Stderr, "mcp-gateway:", err)
		os.Exit(1)
	}
}
