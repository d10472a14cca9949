package legacy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// maxAnswer is the largest answer, or event of one, in bytes.
	maxAnswer = 32 << 20
	// handful is what of an answer is read without asking for room: what each call
	// under way costs anyhow.
	handful = 8 << 10
	// smallAnswer is the largest of those that have a room of their own, so that
	// they do not wait for large ones.
	smallAnswer = 256 << 10

	// The rooms for answers that are read, or wait until their client has read them,
	// and for those of batches that wait for the others of theirs: 256 MiB in all.
	smallRoom = 32 << 20
	largeRoom = 192 << 20
	keptRoom  = 32 << 20

	// readTimeout ends the reading of an answer that takes up room, but for waiting
	// for more of it.
	readTimeout = time.Minute
)

// rooms are those for what the endpoint answers.
type rooms struct {
	small, large, kept room
}

func newRooms() *rooms {
	return &rooms{small: newRoom(smallRoom), large: newRoom(largeRoom), kept: newRoom(keptRoom)}
}

// hold is the room that one answer takes up, from its beginning until its client
// has it. That nobody waits for ever: who reads has room for the whole answer, and
// a time for it; then there is a time for the client. Who has room in small may
// wait for some in large, never the other way round.
type hold struct {
	in   *rooms
	name string
	cut  context.CancelFunc // ends the reading

	room *room // nil for none
	size int64
	late *time.Timer
}

// cover waits until there is room for n bytes of an answer that has no more than
// most; false if it has, or ctx ends before.
func (h *hold) cover(ctx context.Context, n, most int64) bool {
	switch {
	case n <= max(h.size, handful):
		return true
	case n > most:
		return false
	}
	to, size := &h.in.small, int64(smallAnswer)
	if n > smallAnswer {
		to, size = &h.in.large, most
	}
	if h.late != nil {
		h.late.Stop()
	}
	if !to.await(ctx, h.name, size) {
		return false
	}
	h.release()
	h.room, h.size, h.late = to, size, time.AfterFunc(readTimeout, h.cut)
	return true
}

// keep tells that the answer has been read and has n bytes.
func (h *hold) keep(n int) {
	if h.room == nil {
		return
	}
	h.late.Stop()
	h.room.give(h.name, h.size-int64(n))
	h.size = int64(n)
}

// release tells that nothing of the answer is kept any more.
func (h *hold) release() {
	if h.room == nil {
		return
	}
	h.late.Stop()
	h.room.give(h.name, h.size)
	h.room, h.size = nil, 0
}

var errTooLarge = errors.New("the answer is too large")

// read reads a whole answer.
func (h *hold) read(ctx context.Context, resp *http.Response) ([]byte, error) {
	size, most := int64(handful), int64(maxAnswer)
	if n := resp.ContentLength; n > maxAnswer {
		return nil, errTooLarge
	} else if n >= 0 {
		size, most = n, n
	}
	var text []byte
	for {
		if !h.cover(ctx, size, most) {
			return nil, context.Cause(ctx)
		}
		// One byte more, to see the end.
		text = append(make([]byte, 0, size+1), text...)
		for len(text) < cap(text) {
			n, err := resp.Body.Read(text[len(text):cap(text)])
			text = text[:len(text)+n]
			if errors.Is(err, io.EOF) {
				h.keep(len(text))
				return text, nil
			}
			if err != nil {
				return nil, err
			}
		}
		if size == most {
			return nil, errTooLarge
		}
		size = min(2*size, most)
	}
}
