// Package dynamicmodule carries the decisions of the filter's core to the C
// callbacks of an Envoy dynamic module. It is plain Go; filter/dynamicmodule/lib
// is the library itself and the only place with cgo.
package dynamicmodule

import (
	"encoding/binary"

	"mcp-gateway/filter"
)

// Verdict is a decision's action with flags, as lib/glue.h numbers them.
type Verdict uint32

// Flags of a Verdict, beside the filter.Action in its low byte.
const (
	Reroute    Verdict = 1 << 8
	Replace    Verdict = 1 << 9
	Revalidate Verdict = 1 << 10
	Done       Verdict = 1 << 11
	Plain      Verdict = 1 << 12
	PlainJSON  Verdict = 1 << 13
	// PlainUnless is the lowest bit of a filter.Decision.PlainUnless.
	PlainUnless Verdict = 1 << 16
)

// Kinds of records, as lib/glue.h numbers them.
const (
	recordSet    = 1
	recordRemove = 2
	recordSplice = 3
	recordBody   = 4
	recordNote   = 5
	recordCount  = 6
	recordPanic  = 7
	recordTable  = 8
)

// Encode appends the records of d to dst: per record three uint32 in the
// machine's order (kind, length of key, length of value), then both.
func (c *Config) Encode(dst []byte, d *filter.Decision) ([]byte, Verdict) {
	v := Verdict(d.Action)
	if d.Reroute {
		v |= Reroute
	}
	if d.Replace {
		v |= Replace
	}
	if d.Revalidate {
		v |= Revalidate
	}
	if d.Done {
		v |= Done
	}
	if d.Plain {
		v |= Plain
	}
	if d.PlainJSON {
		v |= PlainJSON
	}
	v |= Verdict(d.PlainUnless) * PlainUnless
	if d.Action == filter.Ask {
		return c.EncodeQuestion(dst, d.Question), v
	}
	for i := range d.Edits {
		e := &d.Edits[i]
		if e.Remove {
			dst = record(dst, recordRemove, e.Name, nil)
		} else {
			dst = record(dst, recordSet, e.Name, e.Value)
		}
	}
	if d.Splice.Start != d.Splice.End {
		var at [8]byte
		binary.NativeEndian.PutUint32(at[:], uint32(d.Splice.Start))
		binary.NativeEndian.PutUint32(at[4:], uint32(d.Splice.End))
		dst = head(dst, recordSplice, len(at), len(d.Splice.With))
		dst = append(append(dst, at[:]...), d.Splice.With...)
	}
	if d.Replace || d.Action == filter.Reply {
		dst = record(dst, recordBody, "", d.Body)
	}
	if c.Metadata || d.Reason != "" {
		for i := range d.Notes {
			dst = record(dst, recordNote, d.Notes[i].Key, d.Notes[i].Value)
		}
	}
	if d.Reason != "" {
		dst = head(dst, recordCount, len(d.Reason), len(d.Server))
		dst = append(append(dst, d.Reason...), d.Server...)
	}
	return dst, v
}

// AppendPending appends what a client gets in place of an answer that broke off, and
// the counter of the server that it is from; nothing if nobody waits for it.
func AppendPending(dst []byte, s *filter.Stream) []byte {
	answer, server := s.Pending()
	if answer == nil {
		return dst
	}
	return record(record(dst, recordBody, "", answer), recordCount, "broken_off", []byte(server))
}

// EncodeTableQuestion appends the record of a question for a newer table, which
// another thread asks.
func (c *Config) EncodeTableQuestion(dst []byte) []byte {
	mark := c.Mark()
	question := c.EncodeQuestion(nil, c.TableQuestion())
	dst = head(dst, recordTable, 16, len(question))
	dst = binary.NativeEndian.AppendUint64(dst, mark.Table)
	dst = binary.NativeEndian.AppendUint64(dst, uint64(mark.At))
	return append(dst, question...)
}

// EncodeQuestion appends the headers and the body of a question to the broker.
func (c *Config) EncodeQuestion(dst []byte, q filter.Question) []byte {
	dst = record(dst, recordSet, ":method", []byte(q.Method))
	dst = record(dst, recordSet, ":path", []byte(q.Path))
	dst = record(dst, recordSet, "host", []byte("mcp-broker"))
	if q.ETag != "" {
		dst = record(dst, recordSet, "if-none-match", []byte(q.ETag))
	}
	if c.Authorization != "" {
		dst = record(dst, recordSet, "authorization", []byte(c.Authorization))
	}
	if len(q.Body) > 0 {
		dst = record(dst, recordSet, "content-type", []byte("application/json"))
		dst = record(dst, recordBody, "", q.Body)
	}
	return dst
}

func record(dst []byte, kind uint32, key string, value []byte) []byte {
	dst = head(dst, kind, len(key), len(value))
	return append(append(dst, key...), value...)
}

func head(dst []byte, kind uint32, key, value int) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, kind)
	dst = binary.NativeEndian.AppendUint32(dst, uint32(key))
	return binary.NativeEndian.AppendUint32(dst, uint32(value))
}
