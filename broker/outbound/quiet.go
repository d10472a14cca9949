package outbound

import (
	"io"
	"net"
	"syscall"
)

// Await has ready called, once and by a goroutine of its own, when there is
// something to read of the body of an answer or it has ended. Until then it costs
// that goroutine alone, with the smallest stack that Go has: who called may
// return. False where that cannot be done, or there is something to read already:
// then ready is not called, and the caller reads.
func Await(body io.Reader, ready func()) bool {
	b, ok := body.(*lastingBody)
	if !ok || b.in.Buffered() > 0 {
		return false
	}
	return awaitConn(b.conn, ready)
}

// awaitConn is Await for a connection of which nothing is buffered.
func awaitConn(conn net.Conn, ready func()) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	now := false
	if err := raw.Control(func(fd uintptr) { now = readable(fd) }); err != nil || now {
		return false
	}
	go awaitRaw(raw, ready)
	return true
}

// awaitRaw is all that such a goroutine has on its stack.
func awaitRaw(raw syscall.RawConn, ready func()) {
	_ = raw.Read(readable) // an error is what a read will bring
	ready()
}
