// Package sse reads and writes event streams (WHATWG HTML, section 9.2). The
// parser is pushed: it takes the bytes as they arrive, in any pieces, because
// neither a filter in a proxy nor a body callback has a reader to block on. It
// passes on all that a client could notice, so that a forwarder can write the
// stream again. It does not reconnect and does not decode the data.
package sse

import (
	"bytes"
	"errors"
	"slices"
)

// ErrTooLarge is returned by Feed for an event that exceeds Parser.Limit.
var ErrTooLarge = errors.New("event of the stream is too large")

// Event is one comment, or one block of fields that a blank line ended. Its
// slices are valid during the callback only. They hold the bytes as they came:
// text that is not UTF-8 is not replaced.
type Event struct {
	// Name is the value of the last event field; empty means "message".
	Name []byte
	// Data holds the data fields joined by LF. Without HasData a client takes
	// note of ID and Retry but sees no event; "data:" alone is an empty event.
	Data    []byte
	HasData bool
	// ID is the new last event id; with HasID it may be empty, which resets it.
	ID    []byte
	HasID bool
	// Retry holds ASCII digits, milliseconds; empty if absent.
	Retry []byte
	// Comment is the text of one comment line behind the colon. With
	// HasComment nothing else is set. A comment between the fields of an event
	// comes before that event.
	Comment    []byte
	HasComment bool
}

// field is what the line at hand has turned out to be.
type field uint8

const (
	fieldNone    field = iota // name not complete
	fieldIgnored              // unknown name
	fieldComment
	fieldData
	fieldEvent
	fieldID
	fieldRetry
)

const (
	bom = "\xEF\xBB\xBF"
	// longestField is one more than the longest known field name.
	longestField = len("event") + 1
	// keptBuffer is the capacity in bytes up to which a buffer is kept for the
	// next event: one large event must not cost its size for as long as a
	// stream lives.
	keptBuffer = 64 << 10
)

// Parser takes one stream apart. The zero value is ready and has no limit. What
// is left when the stream ends was not ended by a blank line and is no event.
type Parser struct {
	// Limit is the most bytes that the parser keeps for one event or comment:
	// the values of its fields, and the LF between lines of data. 0 means no
	// limit.
	Limit int

	err     error // the first failure; final
	bomSeen int   // bytes of the BOM that the stream began with
	started bool  // past the place of a BOM
	afterCR bool  // a LF now belongs to the last line end

	// The line at hand.
	field   field
	name    [longestField]byte // first bytes of the field name
	nameLen int                // not above longestField
	space   bool               // a space now is not part of the value
	value   []byte             // of every field but data

	// The event at hand. data ends in one LF for each data field.
	event, data, id, retry []byte
	hasData, hasID         bool
}

// Reset makes p ready for another stream and keeps its memory.
func (p *Parser) Reset(limit int) {
	*p = Parser{
		Limit: limit, value: emptied(p.value),
		event: emptied(p.event), data: emptied(p.data), id: emptied(p.id), retry: emptied(p.retry),
	}
}

// Feed parses the next bytes of the stream and calls f for each event that
// they complete. It returns the first error of f, or ErrTooLarge, and then the
// same for ever. It keeps no reference to chunk.
func (p *Parser) Feed(chunk []byte, f func(Event) error) error {
	if p.err != nil {
		return p.err
	}
	p.err = p.feed(chunk, f)
	return p.err
}

func (p *Parser) feed(chunk []byte, f func(Event) error) error {
	if !p.started {
		for p.bomSeen < len(bom) && len(chunk) > 0 && chunk[0] == bom[p.bomSeen] {
			p.bomSeen++
			chunk = chunk[1:]
		}
		if len(chunk) == 0 && p.bomSeen < len(bom) {
			return nil
		}
		p.started = true
		if p.bomSeen < len(bom) {
			if err := p.take([]byte(bom[:p.bomSeen])); err != nil {
				return err
			}
		}
	}
	if p.afterCR && len(chunk) > 0 {
		if chunk[0] == '\n' {
			chunk = chunk[1:]
		}
		p.afterCR = false
	}
	// Offsets of the next CR and LF at or behind start, len(chunk) if none;
	// each byte is searched once, however the line ends are mixed.
	cr, lf := -1, -1
	for start := 0; start < len(chunk); {
		if cr < start {
			cr = next(chunk, start, '\r')
		}
		if lf < start {
			lf = next(chunk, start, '\n')
		}
		end := min(cr, lf)
		if err := p.take(chunk[start:end]); err != nil {
			return err
		}
		if end == len(chunk) {
			break
		}
		if err := p.endLine(f); err != nil {
			return err
		}
		start = end + 1
		if end == cr {
			if start == len(chunk) {
				p.afterCR = true
			} else if chunk[start] == '\n' {
				start++
			}
		}
	}
	return nil
}

// next returns the offset of c in b at or behind start, len(b) if there is none.
func next(b []byte, start int, c byte) int {
	if i := bytes.IndexByte(b[start:], c); i >= 0 {
		return start + i
	}
	return len(b)
}

// take adds a piece of the line at hand.
func (p *Parser) take(b []byte) error {
	if p.field == fieldNone {
		colon := bytes.IndexByte(b, ':')
		if colon < 0 {
			p.nameLen += copy(p.name[p.nameLen:], b)
			return nil
		}
		p.nameLen += copy(p.name[p.nameLen:], b[:colon])
		p.field = p.fieldOf()
		p.space = p.field != fieldComment
		p.value = p.value[:0]
		b = b[colon+1:]
	}
	if len(b) == 0 {
		return nil
	}
	if p.space {
		p.space = false
		if b[0] == ' ' {
			b = b[1:]
		}
	}
	if p.field == fieldIgnored {
		return nil
	}
	if p.Limit > 0 && p.size()+len(b) > p.Limit {
		return ErrTooLarge
	}
	if p.field == fieldData {
		if len(b) > cap(p.data)-len(p.data) {
			// Doubling copies a large event about once; append alone grows
			// large slices by a quarter and copies it four times.
			p.data = slices.Grow(p.data, max(len(b), len(p.data)))
		}
		p.data = append(p.data, b...)
	} else {
		p.value = append(p.value, b...)
	}
	return nil
}

// size returns the bytes kept. A comment counts alone, so that comments between
// the fields of a slow event do not add up.
func (p *Parser) size() int {
	if p.field == fieldComment {
		return len(p.value)
	}
	return p.Held()
}

// Held returns how many bytes are kept of what has begun and is not complete.
func (p *Parser) Held() int {
	return len(p.event) + len(p.data) + len(p.id) + len(p.retry) + len(p.value)
}

func (p *Parser) fieldOf() field {
	switch string(p.name[:p.nameLen]) {
	case "":
		return fieldComment
	case "data":
		return fieldData
	case "event":
		return fieldEvent
	case "id":
		return fieldID
	case "retry":
		return fieldRetry
	}
	return fieldIgnored
}

// endLine judges the line at hand and begins the next.
func (p *Parser) endLine(f func(Event) error) error {
	if p.field == fieldNone {
		if p.nameLen == 0 {
			return p.dispatch(f)
		}
		p.field = p.fieldOf() // a line without colon has an empty value
		p.value = p.value[:0]
	}
	var err error
	switch p.field {
	case fieldComment:
		err = f(Event{Comment: p.value, HasComment: true})
	case fieldData:
		if p.Limit > 0 && p.size() > p.Limit {
			return ErrTooLarge // by line ends alone
		}
		p.data = append(p.data, '\n')
		p.hasData = true
	case fieldEvent:
		p.event, p.value = p.value, p.event
	case fieldID:
		if bytes.IndexByte(p.value, 0) < 0 {
			p.id, p.value = p.value, p.id
			p.hasID = true
		}
	case fieldRetry:
		if isDigits(p.value) {
			p.retry, p.value = p.value, p.retry
		}
	}
	p.field, p.nameLen, p.space = fieldNone, 0, false
	p.value = emptied(p.value)
	return err
}

// dispatch hands the event out, if the block had any field, and begins the next.
func (p *Parser) dispatch(f func(Event) error) error {
	if !p.hasData && !p.hasID && len(p.event) == 0 && len(p.retry) == 0 {
		return nil
	}
	e := Event{Name: p.event, ID: p.id, HasID: p.hasID, Retry: p.retry, HasData: p.hasData}
	if p.hasData {
		e.Data = p.data[:len(p.data)-1]
	}
	err := f(e)
	p.event, p.data, p.id, p.retry = emptied(p.event), emptied(p.data), emptied(p.id), emptied(p.retry)
	p.hasData, p.hasID = false, false
	return err
}

// emptied returns b for reuse, nil if that would keep much memory.
func emptied(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
