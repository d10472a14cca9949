package jsonrpc

import (
	"hash/maphash"

	"mcp-gateway/internal/mcp"
)

// Scan reads body, which must be one message and nothing else, into m. Whatever
// m held is lost; after an error it is zero. It keeps no reference to body and
// allocates only the Error. Time is linear in the size of body.
func (m *Message) Scan(body []byte) *Error { return m.ScanWithin(body, MaxDepth) }

// ScanWithin is Scan of a message that may be nested depth deep, MaxDepth at most;
// 0 means that. The message itself counts, as do params, _meta and ref, which may
// always be there.
func (m *Message) ScanWithin(body []byte, depth int) *Error {
	*m = Message{}
	s := scanner{body: body, msg: m}
	if 0 < depth && depth < MaxDepth {
		s.forbidden = MaxDepth - depth
	}
	start := skipSpace(body, 0)
	isObject := start < len(body) && body[start] == '{'
	var end int
	if isObject {
		end = s.object(start+1, objMessage)
	} else {
		end = skipValue(body, start, s.forbidden)
	}
	if end = skipEnd(body, end); end < 0 {
		e := &Error{Code: mcp.CodeParseError, Reason: reason(body, end, MaxDepth-s.forbidden)}
		if end == tooDeep {
			e.Code, e.TooDeep = mcp.CodeInvalidRequest, true
		}
		*m = Message{}
		return e
	}
	switch {
	case isObject:
		s.classify()
	case body[start] == '[':
		m.Kind = Batch
	default:
		s.refuse("message is no object")
	}
	if s.refusal != "" {
		e := &Error{Code: mcp.CodeInvalidRequest, Reason: s.refusal}
		if !s.idUnclear && !m.ID.Empty() && isID(body[m.ID.Start]) {
			e.ID = m.ID
		}
		*m = Message{}
		return e
	}
	return nil
}

// scanner is the state of one Scan.
type scanner struct {
	body []byte
	msg  *Message
	// forbidden is how many of MaxDepth levels may not be used.
	forbidden int

	jsonrpc Span
	// refusal is why the message is not accepted although it may be JSON.
	// Scanning goes on, to find out whether it is and to see the id.
	refusal   string
	idUnclear bool

	seed   maphash.Seed
	seeded bool
}

// refuse keeps the first reason.
func (s *scanner) refuse(why string) {
	if s.refusal == "" {
		s.refusal = why
	}
}

// object skips a guarded object whose opening brace stands before i. It calls
// itself for params and for what params guards, three levels at most.
func (s *scanner) object(i int, obj object) int {
	b := s.body
	depth := 1 // containers open inside, this one included
	switch obj {
	case objParams:
		depth = 2
	case objMeta, objRef:
		depth = 3
	}
	if i = skipSpace(b, i); i < len(b) && b[i] == '}' {
		return i + 1
	}
	var seen member
	var others keySet
	for n := 1; ; n++ {
		if i >= len(b) || b[i] != '"' {
			return ^i
		}
		start := i
		if i = skipString(b, i+1); i < 0 {
			return i
		}
		if n > MaxKeys {
			s.refuse("message, params, _meta or ref has too many keys")
		}
		key := b[start:i]
		mem := obj.exact(key[1 : len(key)-1])
		if mem == 0 {
			s.other(obj, &others, key)
		} else if seen&mem != 0 {
			s.refuse("message has a duplicate key")
			s.idUnclear = s.idUnclear || mem == memID
		}
		seen |= mem
		if i = skipColon(b, i); i < 0 {
			return i
		}
		i = skipSpace(b, i)
		start = i
		if child := guardedChild(mem); child != objMessage && i < len(b) && b[i] == '{' {
			i = s.object(i+1, child)
		} else {
			i = skipValue(b, i, depth+s.forbidden)
		}
		if i < 0 {
			return i
		}
		if mem != 0 {
			s.set(mem, Span{start, i})
		}
		i = skipSpace(b, i)
		if i >= len(b) {
			return ^i
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case '}':
			return i + 1
		default:
			return ^i
		}
	}
}

// other judges a key that is spelled like no reserved name.
func (s *scanner) other(obj object, seen *keySet, token []byte) {
	if mem := obj.variant(token); mem != 0 {
		s.refuse("message has a reserved key in another spelling")
		s.idUnclear = s.idUnclear || mem == memID
	}
	if !s.seeded {
		s.seed, s.seeded = maphash.MakeSeed(), true
	}
	if !seen.add(hashKey(s.seed, token)) {
		s.refuse("message has a duplicate key")
	}
}

// guardedChild returns which guarded object the member holds, objMessage for
// none.
func guardedChild(mem member) object {
	switch mem {
	case memParams:
		return objParams
	case memMeta:
		return objMeta
	case memRef:
		return objRef
	}
	return objMessage
}

func (s *scanner) set(mem member, v Span) {
	m := s.msg
	switch mem {
	case memJSONRPC:
		s.jsonrpc = v
	case memID:
		m.ID = v
	case memMethod:
		m.Method = v
	case memParams:
		m.Params = v
	case memResult:
		m.Result = v
	case memError:
		m.Error = v
	case memName:
		m.Name, m.NameIsString = v, s.body[v.Start] == '"'
	case memURI:
		m.URI, m.URIIsString = v, s.body[v.Start] == '"'
	case memCursor:
		m.Cursor = v
	case memProtocolVersion:
		m.ProtocolVersion = v
	case memMeta:
		m.Meta = v
	case memMetaVersion:
		m.MetaVersion = v
	case memMetaCapabilities:
		m.MetaCapabilities = v
	case memMetaClientInfo:
		m.MetaClientInfo = v
	case memMetaLogLevel:
		m.MetaLogLevel = v
	case memArguments:
		m.Arguments = v
	case memTaskID:
		m.TaskID = v
	case memProgressToken:
		if isID(s.body[v.Start]) { // else there is none: nobody can be told by it
			m.ProgressToken = v
		}
	case memProgress:
		m.Progress = v
	case memCancelled:
		m.Cancelled = v
	case memRefType:
		m.RefType = v
	case memRefName:
		m.RefName = v
	case memRefURI:
		m.RefURI = v
	}
}

// classify sets the kind of a message that is an object, or refuses it
// (JSON-RPC 2.0 sections 4 and 5, narrowed by MCP: no null id in a request).
func (s *scanner) classify() {
	m, b := s.msg, s.body
	hasID := !m.ID.Empty()
	if hasID && b[m.ID.Start] != 'n' && !isID(b[m.ID.Start]) {
		s.refuse("id is no string or number")
	}
	if string(s.jsonrpc.Of(b)) != `"2.0"` {
		s.refuse(`jsonrpc is not "2.0"`)
	}
	if !m.Params.Empty() {
		switch b[m.Params.Start] {
		case '{', '[':
		case 'n':
			m.Params = Span{}
		default:
			s.refuse("params is no object or array")
		}
	}
	hasResult, hasError := !m.Result.Empty(), !m.Error.Empty()
	nullID := hasID && b[m.ID.Start] == 'n'
	switch {
	case !m.Method.Empty():
		if b[m.Method.Start] != '"' {
			s.refuse("method is no string")
		}
		if hasResult || hasError {
			s.refuse("message has a method and a result or error")
		}
		if nullID {
			s.refuse("id of a request is null")
		}
		m.Kind = Notification
		if hasID {
			m.Kind = Request
		}
	case !hasResult && !hasError:
		s.refuse("message has no method, result or error")
	case hasResult && hasError:
		s.refuse("response has a result and an error")
	case !hasID:
		s.refuse("response has no id")
	case nullID && hasResult:
		s.refuse("id of a result is null")
	default:
		m.Kind = Response
	}
}

// isID reports whether a value that begins with c is a string or number.
func isID(c byte) bool { return c == '"' || c == '-' || c-'0' <= 9 }
