package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// resolver is where every process of the network asks for names.
const resolver = "127.0.0.1:53"

var names struct {
	sync.Mutex
	addresses map[string][]netip.Addr // by name, lower case, without the last dot
}

// Name gives a name to addresses, as a cluster's DNS does to the endpoints of a
// headless Service; without addresses it takes the name back.
func Name(name string, addresses ...string) {
	var parsed []netip.Addr
	for _, a := range addresses {
		parsed = append(parsed, netip.MustParseAddr(a))
	}
	names.Lock()
	defer names.Unlock()
	names.addresses[name] = parsed
}

// serveNames answers questions for names, and tells every process of the network to
// ask there.
func serveNames() error {
	names.addresses = map[string][]netip.Addr{}
	file, err := os.CreateTemp("", "resolv.conf")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // the mount keeps its content
	_, err = fmt.Fprintf(file, "nameserver %s\noptions ndots:1\n", netip.MustParseAddrPort(resolver).Addr())
	if err = errors.Join(err, file.Close(), os.Chmod(file.Name(), 0o644)); err != nil {
		return err
	}
	// What is mounted here is to be seen nowhere else.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	if err := unix.Mount(file.Name(), "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("resolv.conf: %w", err)
	}
	conn, err := net.ListenPacket("udp", resolver)
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := answerTo(buffer[:n]); answer != nil {
				_, _ = conn.WriteTo(answer, from) // who asked asks again
			}
		}
	}()
	return nil
}

// answerTo returns the answer to a question, nil to what is none.
func answerTo(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || m.Response || len(m.Questions) != 1 {
		return nil
	}
	asked := m.Questions[0]
	names.Lock()
	addresses := names.addresses[strings.ToLower(strings.TrimSuffix(asked.Name.String(), "."))]
	names.Unlock()
	answer := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true},
		Questions: m.Questions,
	}
	if len(addresses) == 0 {
		answer.RCode = dnsmessage.RCodeNameError
	}
	for _, a := range addresses {
		if asked.Type == dnsmessage.TypeA && a.Is4() {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: asked.Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	packed, err := answer.Pack()
	if err != nil {
		return nil
	}
	return packed
}
