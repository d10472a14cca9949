package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Who tells which process is at the other end of a connection of this machine, as
// the kernel's tables have it.
type Who struct {
	mu    sync.Mutex
	names map[int]string // by process id
}

// NewWho knows nobody.
func NewWho() *Who { return &Who{names: map[int]string{}} }

// Add names a process.
func (w *Who) Add(pid int, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[pid] = name
}

// Is returns the name of the process that owns the connection from one address to
// another, empty if it is none of those added.
func (w *Who) Is(from, to net.Addr) string {
	inode, err := inodeOf(from, to)
	if err != nil {
		return "" // it is gone again
	}
	want := fmt.Sprintf("socket:[%d]", inode)
	w.mu.Lock()
	names := make(map[int]string, len(w.names))
	for pid, name := range w.names {
		names[pid] = name
	}
	w.mu.Unlock()
	for pid, name := range names {
		// A process may end while it is looked at.
		dir := fmt.Sprintf("/proc/%d/fd/", pid)
		fds, _ := os.ReadDir(dir)
		for _, fd := range fds {
			if to, err := os.Readlink(dir + fd.Name()); err == nil && to == want {
				return name
			}
		}
	}
	return ""
}

// Sizes of the kernel's messages (sock_diag(7)).
const (
	diagRequest = 56 // struct inet_diag_req_v2
	diagInode   = 68 // of idiag_inode in struct inet_diag_msg
	diagAnswer  = 72
)

// inodeOf asks the kernel for the connection from one address to another. One
// question costs microseconds; to read /proc/net/tcp would cost milliseconds for
// each new connection.
func inodeOf(from, to net.Addr) (uint32, error) {
	a, errA := netip.ParseAddrPort(from.String())
	b, errB := netip.ParseAddrPort(to.String())
	if err := errors.Join(errA, errB); err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	q := make([]byte, unix.NLMSG_HDRLEN+diagRequest)
	binary.NativeEndian.PutUint32(q, uint32(len(q)))
	binary.NativeEndian.PutUint16(q[4:], unix.SOCK_DIAG_BY_FAMILY)
	binary.NativeEndian.PutUint16(q[6:], unix.NLM_F_REQUEST)
	r := q[unix.NLMSG_HDRLEN:]
	r[0], r[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(r[4:], 0xffffffff) // in any state
	binary.BigEndian.PutUint16(r[8:], a.Port())
	binary.BigEndian.PutUint16(r[10:], b.Port())
	copy(r[12:], a.Addr().Unmap().AsSlice())
	copy(r[28:], b.Addr().Unmap().AsSlice())
	binary.NativeEndian.PutUint64(r[48:], ^uint64(0)) // no cookie
	if err := unix.Sendto(fd, q, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	answer := make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	if n < unix.NLMSG_HDRLEN+diagAnswer || binary.NativeEndian.Uint16(answer[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return 0, errors.New("sock_diag: no such connection")
	}
	return binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN+diagInode:]), nil
}
