package link

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a DNS server with one name that has several IPv4 addresses, as replicas
// behind one name have; of any other name it knows nothing.
type Names struct {
	conn  net.PacketConn
	name  string // with a dot at its end
	addrs []netip.Addr
}

// NewNames serves a name until Close.
func NewNames(name string, addrs ...netip.Addr) (*Names, error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	n := &Names{conn: conn, name: name + ".", addrs: addrs}
	go n.serve()
	return n, nil
}

// Port is the UDP port at 127.0.0.1.
func (n *Names) Port() int { return n.conn.LocalAddr().(*net.UDPAddr).Port }

// Close ends it.
func (n *Names) Close() { _ = n.conn.Close() }

func (n *Names) serve() {
	buf := make([]byte, 4<<10)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer, err := n.answer(buf[:size]); err == nil {
			_ = n.conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = n.conn.WriteTo(answer, from) // who does not hear it asks again
		}
	}
}

func (n *Names) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || len(m.Questions) != 1 {
		return nil, fmt.Errorf("no question: %w", err)
	}
	q := m.Questions[0]
	m.Response, m.Authoritative = true, true
	m.Answers, m.Authorities, m.Additionals = nil, nil, nil
	if q.Name.String() != n.name {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	if q.Type == dnsmessage.TypeA {
		for _, a := range n.addrs {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return m.Pack()
}
