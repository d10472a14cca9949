package backend

import (
	"bytes"
	"encoding/json"
	"errors"
)

// request is what the server needs of a JSON-RPC message.
type request struct {
	id      []byte // raw token; nil for a notification or a response
	method  string
	version string // params.protocolVersion
	tool    string // params.name
	text    int    // size of params.arguments.text between its quotes
}

// Meta is the _meta member of a request of the stateless revision.
const Meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

// A body of the load generator reads, to the byte,
//
//	{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"..."}}}
//
// where only the id, the name and the text vary; in the stateless revision Meta
// stands before the name.
const (
	callStart  = `{"jsonrpc":"2.0","id":`
	callMethod = `,"method":"tools/call","params":{"name":"`
	metaMethod = `,"method":"tools/call","params":{` + Meta + `,"name":"`
	callText   = `","arguments":{"text":"`
	callEnd    = `"}}}`
)

// AppendCall appends the body of a call of tool with the given text, which
// must be the inside of a JSON string.
func AppendCall(b []byte, id []byte, tool string, text []byte) []byte {
	return appendCall(b, id, callMethod, tool, text)
}

// AppendStatelessCall is AppendCall for the stateless revision.
func AppendStatelessCall(b []byte, id []byte, tool string, text []byte) []byte {
	return appendCall(b, id, metaMethod, tool, text)
}

func appendCall(b []byte, id []byte, method, tool string, text []byte) []byte {
	b = append(append(append(b, callStart...), id...), method...)
	b = append(append(append(b, tool...), callText...), text...)
	return append(b, callEnd...)
}

// IDOffset is where the id stands in a body made by these.
const IDOffset = len(callStart)

// read reads a message of size bytes from its first bytes. Calls in the form of
// AppendCall are not decoded; anything else has to be whole.
func read(body []byte, size int) (request, error) {
	if q, ok := readCall(body, size); ok {
		return q, nil
	}
	if size > len(body) {
		return request{}, errors.New("a large message in a form of its own")
	}
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			ProtocolVersion string `json:"protocolVersion"`
			Name            string `json:"name"`
			Arguments       struct {
				Text json.RawMessage `json:"text"`
			} `json:"arguments"`
		} `json:"params"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return request{}, err
	}
	q := request{id: m.ID, method: m.Method, version: m.Params.ProtocolVersion, tool: m.Params.Name}
	q.text = max(0, len(m.Params.Arguments.Text)-len(`""`))
	if m.Method == "" {
		q.id = nil
	}
	return q, nil
}

func readCall(body []byte, size int) (request, bool) {
	rest, ok := bytes.CutPrefix(body, []byte(callStart))
	if !ok {
		return request{}, false
	}
	at := bytes.IndexByte(rest, ',')
	if at < 0 || at > 64 {
		return request{}, false
	}
	id, after := rest[:at], rest[at:]
	if rest, ok = bytes.CutPrefix(after, []byte(callMethod)); !ok {
		if rest, ok = bytes.CutPrefix(after, []byte(metaMethod)); !ok {
			return request{}, false
		}
	}
	tool, rest, ok := bytes.Cut(rest, []byte(callText))
	if !ok || len(tool) > 128 {
		return request{}, false
	}
	text := size - (len(body) - len(rest)) - len(callEnd)
	if text < 0 {
		return request{}, false
	}
	return request{id: id, method: "tools/call", tool: string(tool), text: text}, true
}
