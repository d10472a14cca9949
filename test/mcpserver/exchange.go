package mcpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Framing is how a result or error travels.
type Framing int

const (
	JSON Framing = iota // application/json
	SSE                 // text/event-stream with one event
	// SSEPrimed begins with an event of an id and empty data and a comment, and
	// gives the message an id, as servers with resumable streams do
	// (2025-11-25, basic/transports, Sending Messages).
	SSEPrimed
)

// Handler answers one request.
type Handler func(*Exchange)

// Exchange is one request being answered.
type Exchange struct {
	Request
	// Session is the request's session id.
	Session string

	server *Server
	w      http.ResponseWriter
	r      *http.Request
}

// Context ends when the caller goes away or the server goes Down.
func (x *Exchange) Context() context.Context { return x.r.Context() }

// Header is the answer's header, to be changed before the answer begins.
func (x *Exchange) Header() http.Header { return x.w.Header() }

// Result answers with a raw JSON result in the script's framing.
func (x *Exchange) Result(result string) { x.Message(x.ResultMessage(result)) }

// Error answers with a raw JSON-RPC error object in the script's framing.
func (x *Exchange) Error(object string) {
	x.Message(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":%s}`, x.ID, object))
}

// ResultMessage is the whole JSON-RPC answer that holds a raw result.
func (x *Exchange) ResultMessage(result string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, x.ID, result)
}

// Message answers with a raw message in the script's framing.
func (x *Exchange) Message(message string) {
	switch x.server.script.Framing {
	case SSE:
		x.Stream().Send(message)
	case SSEPrimed:
		s := x.Stream()
		s.Raw("id: prime-1\ndata: \n\n: a comment\n\n")
		s.Raw("event: message\nid: e-2\n" + data(message))
	default:
		x.Respond(http.StatusOK, "application/json", []byte(message))
	}
}

// Respond answers with a whole body.
func (x *Exchange) Respond(status int, contentType string, body []byte) {
	if contentType != "" {
		x.w.Header().Set("Content-Type", contentType)
	}
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a caller that went away is the test's business
}

// Fault breaks the exchange.
func (x *Exchange) Fault(f Fault) { f(x) }

// Fault is a way to fail.
type Fault func(*Exchange)

// Reset closes the connection without an answer, by a TCP reset.
func Reset(x *Exchange) {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Cut promises a body, sends half of it and closes the connection.
func Cut(x *Exchange) {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.Header().Set("Content-Length", "100")
	x.w.WriteHeader(http.StatusOK)
	_, _ = x.w.Write([]byte(`{"jsonrpc":"2.0",`))
	_ = http.NewResponseController(x.w).Flush()
	panic(http.ErrAbortHandler)
}

// Hang answers nothing until the caller gives up.
func Hang(x *Exchange) {
	<-x.r.Context().Done()
}

// Status answers with an HTTP status and a body that is no JSON-RPC.
func Status(code int) Fault {
	return func(x *Exchange) {
		x.Respond(code, "text/html", []byte("<html>status "+http.StatusText(code)+"</html>"))
	}
}

// Body answers 200 with any bytes as any content type.
func Body(contentType, body string) Fault {
	return func(x *Exchange) { x.Respond(http.StatusOK, contentType, []byte(body)) }
}

// Arguments is the raw params.arguments.
func (x *Exchange) Arguments() json.RawMessage {
	var m struct {
		Params struct{ Arguments json.RawMessage }
	}
	if err := json.Unmarshal(x.Body, &m); err != nil {
		return nil
	}
	return m.Params.Arguments
}

// ProgressToken is the raw params._meta.progressToken.
func (x *Exchange) ProgressToken() json.RawMessage {
	var m struct {
		Params struct {
			Meta struct{ ProgressToken json.RawMessage } `json:"_meta"`
		}
	}
	if err := json.Unmarshal(x.Body, &m); err != nil {
		return nil
	}
	return m.Params.Meta.ProgressToken
}
