package golang

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mcp-gateway/internal/gatewayconfig"
)

// How replicas behind one name are watched: as Envoy's own checks do
// (controlplane/envoyconfig), so that both hosts find out as quickly. One that says
// that it is not ready gets nothing more; one that does not answer at all may only
// be slow, so it is given several chances.
const (
	checkEvery   = 500 * time.Millisecond
	checkTimeout = 2 * time.Second
	checkChances = 2
	lookupEvery  = 5 * time.Second
)

// replica is one address of the broker.
type replica struct {
	transport *http.Transport
	missed    atomic.Int32 // checks in a row; checkChances for one that gets nothing
	checking  atomic.Bool
}

// replicas carry questions to the addresses behind one name, in turn, leaving out
// those that do not answer. Safe for concurrent use.
type replicas struct {
	host, port string
	// lookup finds the addresses of a name, in any order.
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// patience is how long a check or a look-up may take, checkTimeout.
	patience time.Duration

	list  atomic.Pointer[[]*replica] // nil until the name was looked up
	next  atomic.Uint32
	watch sync.Once
	ctx   context.Context // ends with close
	close context.CancelFunc

	mu    sync.Mutex // held while the name is looked up
	known map[netip.Addr]*replica
}

var _ http.RoundTripper = (*replicas)(nil)

func newReplicas(host, port string) *replicas {
	r := &replicas{
		host: host, port: port, lookup: net.DefaultResolver.LookupNetIP, patience: checkTimeout, known: map[netip.Addr]*replica{},
	}
	r.ctx, r.close = context.WithCancel(context.Background())
	return r
}

// newTransport has connections to one address only, whatever a request's URL says.
func newTransport(network, address string) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		// No Proxy: what Envoy's environment says is not for the broker.
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		MaxConnsPerHost:     connections,
		MaxIdleConnsPerHost: connections,
		IdleConnTimeout:     idleTime,
		DisableCompression:  true,
	}
}

// transportTo is the way to an address of the broker: "unix:/path" or "host:port".
func transportTo(address string) (http.RoundTripper, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return newTransport("unix", path), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("internalAddress %q is neither unix:/path nor host:port", address)
	}
	// Of localhost's addresses the broker has one, which one is chance: the dialer
	// tries both.
	if _, err := netip.ParseAddr(host); err == nil || strings.EqualFold(host, "localhost") {
		return newTransport("tcp", address), nil
	}
	return newReplicas(host, port), nil
}

// RoundTrip implements http.RoundTripper. A replica that could not be reached gets
// nothing more until it passes a check; a question that only took too long says
// nothing about it.
func (r *replicas) RoundTrip(q *http.Request) (*http.Response, error) {
	to, err := r.pick(q.Context())
	if err != nil {
		if q.Body != nil {
			_ = q.Body.Close()
		}
		return nil, err
	}
	resp, err := to.transport.RoundTrip(q)
	if err != nil && q.Context().Err() == nil {
		to.missed.Store(checkChances)
	}
	return resp, err
}

// pick is the replica whose turn it is. If all are left out, none is: the checks
// are believed only where they leave a choice.
func (r *replicas) pick(ctx context.Context) (*replica, error) {
	if r.list.Load() == nil {
		if err := r.find(ctx); err != nil {
			return nil, err
		}
	}
	r.watch.Do(func() { go r.watchAll() })
	list := *r.list.Load()
	turn := int(r.next.Add(1) % uint32(len(list)))
	for i := range list {
		if c := list[(turn+i)%len(list)]; c.missed.Load() < checkChances {
			return c, nil
		}
	}
	return list[turn], nil
}

// find looks the name up. If that fails, the addresses that are known stay.
func (r *replicas) find(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, err := r.lookup(ctx, "ip", r.host)
	if err != nil {
		return err
	}
	found = preferred(found)
	if len(found) == 0 {
		return errors.New("the broker's name has no address")
	}
	list, known := []*replica{}, map[netip.Addr]*replica{}
	for _, addr := range found {
		c := r.known[addr]
		if c == nil {
			c = &replica{transport: newTransport("tcp", net.JoinHostPort(addr.String(), r.port))}
		}
		known[addr] = c
		list = append(list, c)
	}
	for addr, c := range r.known {
		if known[addr] == nil {
			c.transport.CloseIdleConnections()
		}
	}
	r.known = known
	r.list.Store(&list)
	return nil
}

// preferred are the addresses that are used: IPv4 where there are any, as Envoy's
// clusters of the broker have them, in order and each once.
func preferred(found []netip.Addr) []netip.Addr {
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare) // IPv4 first
	found = slices.Compact(found)
	if len(found) > 0 && found[0].Is4() {
		found = slices.DeleteFunc(found, netip.Addr.Is6)
	}
	return found
}

// watchAll looks the name up again and checks the replicas until close.
func (r *replicas) watchAll() {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		if n%int(lookupEvery/checkEvery) == 0 {
			ctx, cancel := context.WithTimeout(r.ctx, r.patience)
			_ = r.find(ctx) // those that are known stay
			cancel()
		}
		list := *r.list.Load()
		if len(list) == 1 {
			list[0].missed.Store(0) // there is no other to ask
			continue
		}
		for _, c := range list {
			if c.checking.CompareAndSwap(false, true) {
				go r.check(c)
			}
		}
	}
}

// check asks a replica whether it is ready. The name in the URL keeps its connection
// apart from those that questions wait for.
func (r *replicas) check(c *replica) {
	defer c.checking.Store(false)
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://mcp-broker-check"+gatewayconfig.PathReady, nil)
	if err != nil {
		return
	}
	resp, err := c.transport.RoundTrip(q)
	if err != nil && ctx.Err() != nil {
		c.missed.Add(1)
		return
	}
	ready := err == nil && resp.StatusCode == http.StatusOK
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection stays
		_ = resp.Body.Close()
	}
	if ready {
		c.missed.Store(0)
	} else {
		c.missed.Store(checkChances)
	}
}

// CloseIdleConnections ends the watch. It is for when nothing is asked any more.
func (r *replicas) CloseIdleConnections() {
	r.close()
	if list := r.list.Load(); list != nil {
		for _, c := range *list {
			c.transport.CloseIdleConnections()
		}
	}
}
