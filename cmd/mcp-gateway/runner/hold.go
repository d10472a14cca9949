package runner

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"mcp-gateway/controlplane/gateway"
)

// held is the addresses that this process keeps for its Envoy, so that no other
// program gets one before Envoy listens there, or while a new Envoy starts: it
// would be sent the clients' requests. Safe for concurrent use.
type held struct {
	file string // that names the address, for people

	mu      sync.Mutex
	sockets map[netip.AddrPort]*os.File // nil where the system cannot hold one
}

// take holds "host:port" until release, and returns its "ip:port"; port 0 becomes
// a free one. Those before stay held, as Envoy may refuse what comes with the new
// one, and the operator go back.
func (h *held) take(address string) (string, error) {
	want, err := gateway.SplitListen(address)
	if err != nil {
		return "", fmt.Errorf("--listen: %w", err) // the file's was checked when it was read
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.sockets[want]; ok {
		return want.String(), nil
	}
	socket, at, err := reserve(want, h.overlap(want))
	if err != nil {
		change := "choose another with --listen HOST:PORT or gateway.listen in " + h.file
		if errors.Is(err, syscall.EADDRINUSE) {
			return "", fmt.Errorf("%s is in use by another process: end that one, or %s", want, change)
		}
		return "", fmt.Errorf("cannot listen on %s: %w: %s", want, err, change)
	}
	if h.sockets == nil {
		h.sockets = map[netip.AddrPort]*os.File{}
	}
	h.sockets[at] = socket
	return at.String(), nil
}

// keep takes the address of g, which clients have to know.
func (h *held) keep(g *gateway.Gateway) error {
	if at, err := gateway.SplitListen(g.Listen); err == nil && at.Port() == 0 {
		return errors.New("gateway.listen: the endpoint needs a port that clients know; only --listen takes a free one for 0")
	}
	_, err := h.take(g.Listen)
	return err
}

// overlap reports whether at is every interface where one is held, or one where
// every is: its own Envoy is in the way then.
func (h *held) overlap(at netip.AddrPort) bool {
	for own := range h.sockets {
		if own.Port() == at.Port() && own.Addr().Is4() == at.Addr().Is4() && own.Addr().IsUnspecified() != at.Addr().IsUnspecified() {
			return true
		}
	}
	return false
}

// release lets others have the addresses.
func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, socket := range h.sockets {
		_ = socket.Close()
	}
	h.sockets = nil
}
