package broker

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// leaveWithin is how long a stream that has ended tries to tell its client so.
const leaveWithin = time.Second

// detached is the connection of an event stream, taken from net/http: that would
// keep the request for it, a large stack and three buffers, twice of what all else
// of a stream needs. Most streams say nothing for most of their time.
type detached struct {
	conn net.Conn
	// open ends with the stream. Nothing waits for the client from then on.
	open context.Context
}

// detach takes the connection of a request over HTTP/1.1 and begins the answer on
// it, an event stream with the header of w, which ends with open. leave is called
// when the client has left. False, and w is as it was, where that cannot be done.
func detach(w *response, r *http.Request, open context.Context, leave func()) (*detached, bool) {
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 {
		return nil, false
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, false
	}
	w.begun = true
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	header := w.Header()
	header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	header.Set("Transfer-Encoding", "chunked")
	header.Set("Connection", "close")
	_ = header.Write(&head) // to memory
	head.WriteString("\r\n")
	d := &detached{conn: conn, open: open}
	context.AfterFunc(open, func() { _ = conn.SetDeadline(time.Now().Add(leaveWithin)) })
	if d.send(head.Bytes()) != nil {
		leave()
	}
	go d.await(leave)
	return d, true
}

// await calls leave when the client has left. It has nothing more to say.
func (d *detached) await(leave func()) {
	defer leave()
	var said [1]byte
	for d.open.Err() == nil {
		if _, err := d.conn.Read(said[:]); err != nil {
			return
		}
	}
}

// write writes text as one chunk, if it is not empty.
func (d *detached) write(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	chunk := make([]byte, 0, len(text)+16)
	chunk = append(strconv.AppendInt(chunk, int64(len(text)), 16), "\r\n"...)
	return d.send(append(append(chunk, text...), "\r\n"...))
}

func (d *detached) send(b []byte) error {
	_ = d.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if d.open.Err() != nil { // whose deadline that was to be
		_ = d.conn.SetWriteDeadline(time.Now().Add(leaveWithin))
	}
	_, err := d.conn.Write(b)
	return err
}

// close ends the stream, so that the client sees that it is complete.
func (d *detached) close() {
	_ = d.conn.SetWriteDeadline(time.Now().Add(leaveWithin))
	_, _ = d.conn.Write([]byte("0\r\n\r\n")) // who is gone needs none
	_ = d.conn.Close()
}

// streams are the event streams of clients that are being served, wherever that
// is done. The zero value is ready.
type streams struct {
	mu    sync.Mutex
	ended bool
	all   sync.WaitGroup
}

// enter takes in one more, to be followed by leave; false after the end.
func (s *streams) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.all.Add(1)
	}
	return !s.ended
}

func (s *streams) leave() { s.all.Done() }

// end admits no more, has all be ended, and waits for those that there are.
func (s *streams) end(all func()) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	all()
	s.all.Wait()
}
