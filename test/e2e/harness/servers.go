package harness

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Reference runs the reference server of the Go SDK, which has sessions, and
// returns its endpoint. An empty address takes a free one.
func Reference(t testing.TB, addr string) (*Process, string) {
	t.Helper()
	return reference(t, addr, false)
}

// ReferenceModern is Reference for the stateless revision.
func ReferenceModern(t testing.TB, addr string) (*Process, string) {
	t.Helper()
	return reference(t, addr, true)
}

func reference(t testing.TB, addr string, stateless bool) (*Process, string) {
	t.Helper()
	addr, _ = address(t, addr)
	p := Start(t, "reference", Tool(t, ".tools/reference/everything-server"),
		[]string{"-http", addr, "-stateless=" + strconv.FormatBool(stateless)})
	return p, p.Up(addr)
}

// Python runs the server of the Python SDK in test/clients and returns its
// endpoint. An empty address takes a free one.
func Python(t testing.TB, addr string) (*Process, string) {
	t.Helper()
	addr, port := address(t, addr)
	p := Start(t, "python", Tool(t, ".tools/venv/bin/python"), []string{Tool(t, "test/clients/py/server.py"), port})
	return p, p.Up(addr)
}

// EverythingAt is Everything with its process. An empty address takes a free one.
func EverythingAt(t testing.TB, addr string) (*Process, string) {
	t.Helper()
	addr, port := address(t, addr)
	command := everything(t, "streamableHttp")
	p := Start(t, "everything", command[0], command[1:], "PORT="+port)
	return p, p.Up(addr)
}

// address returns the address, a free one if it is empty, and its port.
func address(t testing.TB, addr string) (full, port string) {
	t.Helper()
	if addr == "" {
		addr = FreeAddr(t)
	}
	_, port, _ = strings.Cut(addr, ":")
	return addr, port
}

// Up waits until the program answers anything as an MCP endpoint at an address,
// which it returns.
func (p *Process) Up(addr string) (url string) {
	p.t.Helper()
	url = "http://" + addr + "/mcp"
	c := NewClient(p.t, url)
	Eventually(p.t, p.name+" at "+addr, func() bool {
		select {
		case <-p.Ended():
			p.t.Fatalf("%s ended: %v", p.name, p.err)
		default:
		}
		_, err := c.Try(p.t.Context(), http.MethodDelete, "")
		return err == nil
	})
	return url
}

// Eras runs a server of test/clients whose tools are the same in both eras, and
// returns its endpoint: of the Python SDK or of version 2 of the TypeScript SDK,
// which is "python" or "typescript". Its era is "legacy", "modern" or "both".
func Eras(t testing.TB, sdk, era string) string {
	t.Helper()
	_, url := ErasAt(t, sdk, era, "")
	return url
}

// ErasAt is Eras with its process. An empty address takes a free one.
func ErasAt(t testing.TB, sdk, era, addr string) (*Process, string) {
	t.Helper()
	addr, port := address(t, addr)
	program, script := ".tools/venv/bin/python", "test/clients/py/eras.py"
	if sdk == "typescript" {
		program, script = ".tools/node/bin/node", "test/clients/ts/eras.mjs"
	}
	p := Start(t, sdk+"-"+era, Tool(t, program), []string{Tool(t, script), port, era})
	return p, p.Up(addr)
}
