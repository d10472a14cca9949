// Package link is the network between two processes of the fault suite: a TCP
// relay that knows which process each connection comes from, and can cut,
// silence or delay what comes from one of them.
package link

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"mcp-gateway/test/freeport"
)

// Fault is what is wrong with a link.
type Fault int

const (
	// None relays.
	None Fault = iota
	// Cut resets every connection, open and new ones.
	Cut
	// Silent accepts connections and relays nothing, in neither direction; what
	// was sent meanwhile arrives when it heals.
	Silent
	// Lossy loses packets, as far as a program can see that of TCP: one in lossOf
	// pieces, and what is behind it, comes as late as the kernel sends it again.
	Lossy
)

const (
	lossOf = 20
	// resent is the least time after which Linux sends again (tcp(7)).
	resent = 200 * time.Millisecond
)

// Link relays what comes in at one address to another one.
type Link struct {
	addr   string
	target string
	who    *Who

	mu       sync.Mutex
	listener net.Listener // nil while nobody listens
	healed   *sync.Cond
	faults   map[string]Fault // by process; "" for all
	conns    map[*relay]bool
	closed   bool
}

// relay is one connection and the one that continues it.
type relay struct {
	from    string
	in, out net.Conn
}

// New listens at an address for connections to target.
func New(listen, target string, who *Who) (*Link, error) {
	l, err := freeport.Listen(listen)
	if err != nil {
		return nil, fmt.Errorf("link to %s: %w", target, err)
	}
	k := &Link{addr: l.Addr().String(), target: target, who: who, listener: l, faults: map[string]Fault{}, conns: map[*relay]bool{}}
	k.healed = sync.NewCond(&k.mu)
	go k.accept(l)
	return k, nil
}

// Addr is where it listens.
func (k *Link) Addr() string { return k.addr }

// Down has new connections refused, as those to a process that has ended; open
// ones end as its own do.
func (k *Link) Down() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.listener != nil {
		_ = k.listener.Close()
		k.listener = nil
	}
}

// Up ends what Down began.
func (k *Link) Up() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.listener != nil || k.closed {
		return nil
	}
	l, err := freeport.Listen(k.addr)
	if err != nil {
		return fmt.Errorf("link to %s: %w", k.target, err)
	}
	k.listener = l
	go k.accept(l)
	return nil
}

// Set breaks or heals the link for what comes from a process; "" is every one.
func (k *Link) Set(from string, f Fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults[from] = f
	if f == Cut {
		for c := range k.conns {
			if from == "" || c.from == from {
				c.reset()
			}
		}
	}
	k.healed.Broadcast()
}

// Close ends all connections.
func (k *Link) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.listener != nil {
		_ = k.listener.Close()
	}
	for c := range k.conns {
		c.reset()
	}
	k.healed.Broadcast()
}

// fault must be called with mu held.
func (k *Link) fault(from string) Fault {
	if f := k.faults[""]; f != None {
		return f
	}
	return k.faults[from]
}

// pass waits while the link is silent, or what comes is late; it reports whether to
// go on.
func (k *Link) pass(from string) bool {
	k.mu.Lock()
	for k.fault(from) == Silent && !k.closed {
		k.healed.Wait()
	}
	closed, fault := k.closed, k.fault(from)
	k.mu.Unlock()
	if fault == Lossy && rand.N(lossOf) == 0 {
		<-time.After(resent + rand.N(resent/2))
	}
	return !closed && fault != Cut
}

func (k *Link) accept(l net.Listener) {
	for {
		in, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go k.serve(in)
		}
	}
}

func (k *Link) serve(in net.Conn) {
	c := &relay{from: k.who.Is(in.RemoteAddr(), in.LocalAddr()), in: in}
	if !k.pass(c.from) {
		c.reset()
		return
	}
	out, err := net.Dial("tcp", k.target)
	if err != nil {
		c.reset()
		return
	}
	c.out = out
	k.mu.Lock()
	k.conns[c] = true
	down := k.closed || k.fault(c.from) == Cut
	k.mu.Unlock()
	if down {
		c.reset()
	}
	var both sync.WaitGroup
	both.Go(func() { k.copy(c, c.out, c.in) })
	both.Go(func() { k.copy(c, c.in, c.out) })
	both.Wait()
	k.mu.Lock()
	delete(k.conns, c)
	k.mu.Unlock()
	_, _ = in.Close(), out.Close()
}

// copy relays one direction. The end of one side is the end of that direction; an
// error resets both sides, as the peer would see it without the link.
func (k *Link) copy(c *relay, to, from net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if !k.pass(c.from) {
			c.reset()
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				c.reset()
				return
			}
		}
		if err == nil {
			continue
		}
		if tcp, ok := to.(*net.TCPConn); !ok || errors.Is(err, net.ErrClosed) || !errors.Is(err, io.EOF) || tcp.CloseWrite() != nil {
			c.reset()
		}
		return
	}
}

// reset ends both sides with a reset, as of a peer that is gone.
func (c *relay) reset() {
	for _, conn := range []net.Conn{c.in, c.out} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}
