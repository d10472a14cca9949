package legacy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

const (
	// linger is how long an answer's stream may stay open behind the answer, so
	// that its connection can be used again.
	linger = 2 * time.Second
	// maxResumes is how often in a row a stream that breaks off is taken up again
	// without a message coming.
	maxResumes = 5
	// resumeMin and resumeMax bound the wait before that, which grows as long as no
	// message comes, if the server names a shorter time.
	resumeMin, resumeMax = 200 * time.Millisecond, 5 * time.Second
)

// loop is the way back into the gateway.
type loop struct {
	http *http.Client
	url  string
	in   *rooms
	name string // of whose answers take up room
}

// loop returns the way for a principal, or without one for a client of that id.
func (c *Clients) loop(cfg Config, id string) loop {
	return loop{http: c.http, url: cfg.Endpoint, in: c.in, name: cmp.Or(cfg.Principal, id)}
}

// sender is on whose behalf a request is made.
type sender struct {
	host    string
	header  http.Header // the client's own, as forwarded returns them
	session string
	version mcp.Revision
}

// question is one message on its way.
type question struct {
	text []byte
	kind jsonrpc.Kind
	id   []byte // raw, of a request
}

// forwarded returns the headers of a client's request that go on with its
// messages: not those of the hop or of the transport, nor those by which Envoy
// could be steered. The checks that let the request in may look at any other.
func forwarded(h http.Header) http.Header {
	kept := make(http.Header, len(h))
	for name, values := range h {
		lower := strings.ToLower(name)
		if !ofHop[lower] && !strings.HasPrefix(lower, "mcp-") &&
			!strings.HasPrefix(lower, mcp.HeaderOwnedPrefix) && !strings.HasPrefix(lower, mcp.HeaderEnvoyPrefix) {
			kept[name] = values
		}
	}
	for _, list := range h.Values("Connection") {
		for name := range strings.SplitSeq(list, ",") {
			kept.Del(textproto.TrimString(name))
		}
	}
	return kept
}

// ofHop are the headers that belong to one request and its connection (RFC 9110,
// section 7.6.1), or that the loop sets itself.
var ofHop = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true, "expect": true, "content-length": true, "content-type": true,
	"content-encoding": true, "accept": true, "accept-encoding": true, "last-event-id": true, "origin": true,
	"referer": true, "range": true,
}

// do makes one request. The caller closes the answer's body.
func (l *loop) do(ctx context.Context, method string, from sender, body []byte, lastID string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = from.header.Clone()
	req.Host = from.host
	switch method {
	case http.MethodPost:
		req.Header.Set("Content-Type", typeJSON)
		req.Header.Set("Accept", typeJSON+", "+typeStream)
	case http.MethodGet:
		req.Header.Set("Accept", typeStream)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	if from.session != "" {
		req.Header.Set(mcp.HeaderSession, from.session)
	}
	if from.version != "" {
		req.Header.Set(mcp.HeaderProtocolVersion, string(from.version))
	}
	return l.http.Do(req)
}

// send posts a message and hands what is answered to take, message by message,
// which must not keep it; final marks the answer to a request, which comes once,
// whatever happens, unless ctx ends. written, if there is one, is called when the
// message is on its way. send returns the status of the answer, 0 if there was none.
func (l *loop) send(ctx context.Context, from sender, q question, written func(), take func(text []byte, final bool, head http.Header)) int {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	outgoing := reading
	if written != nil {
		outgoing = httptrace.WithClientTrace(reading, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { written() }})
	}
	resp, err := l.do(outgoing, http.MethodPost, from, q.text, "")
	if err != nil {
		if q.kind == jsonrpc.Request && ctx.Err() == nil {
			take(failure(q.id, "the gateway cannot answer now"), true, nil)
		}
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	if q.kind != jsonrpc.Request {
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		return resp.StatusCode
	}
	h := &hold{in: l.in, name: l.name, cut: cancel}
	defer h.release()
	if resp.StatusCode == http.StatusOK && mcp.MediaType(resp.Header.Get("Content-Type"), typeStream) {
		answered := false
		l.events(reading, from, resp, h, func(text []byte) bool {
			response, own := answers(text, q.id)
			if response && (answered || !own) {
				return answered // nobody has asked for it here
			}
			if response {
				answered = true
				time.AfterFunc(linger, cancel)
			}
			take(text, response, resp.Header)
			return answered
		})
		if !answered && ctx.Err() == nil {
			take(failure(q.id, "the answer was lost on its way"), true, nil)
		}
		return resp.StatusCode
	}
	text, err := h.read(reading, resp)
	switch {
	case ctx.Err() != nil:
		return resp.StatusCode
	case errors.Is(err, errTooLarge):
		text = failure(q.id, err.Error())
	case err != nil:
		text = failure(q.id, "the answer was lost on its way")
	case resp.StatusCode != http.StatusOK || len(bytes.TrimSpace(text)) == 0:
		text = refusal(q.id, resp.StatusCode, text)
	default:
		if response, own := answers(text, q.id); response && !own {
			text = refusal(q.id, resp.StatusCode, text)
		}
	}
	take(text, true, resp.Header)
	return resp.StatusCode
}

// answers reports whether a message is a response, and whether to the request
// with that id. What a server writes less strictly than Scan wants it passes to all
// clients, so it has to be understood here.
func answers(text, id []byte) (response, own bool) {
	var m jsonrpc.Message
	if m.Scan(text) == nil {
		return m.Kind == jsonrpc.Response, m.Kind == jsonrpc.Response && sameID(m.ID.Of(text), id)
	}
	var loose struct{ ID, Method, Result, Error json.RawMessage }
	if json.Unmarshal(text, &loose) != nil || loose.Method != nil || loose.Result == nil && loose.Error == nil {
		return false, false
	}
	return true, sameID(loose.ID, id)
}

// sameID compares two ids, which are raw: strings by what they say, numbers by
// how they are written, as those that come back are.
func sameID(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	one, ok := jsonrpc.Unquote(nil, a)
	other, also := jsonrpc.Unquote(nil, b)
	return ok && also && bytes.Equal(one, other)
}

// refusal is the error for a request that was answered with another HTTP status
// than 200: the one in the body, under the request's id, or one in its place.
func refusal(id []byte, status int, body []byte) []byte {
	var m jsonrpc.Message
	if err := m.Scan(body); err == nil && m.Kind == jsonrpc.Response && !m.Error.Empty() {
		switch got := m.ID.Of(body); {
		case string(got) == "null":
			return jsonrpc.ReplaceSpan(nil, body, m.ID, id)
		case sameID(got, id):
			return body
		}
	}
	return failure(id, fmt.Sprintf("the gateway answered with HTTP status %d", status))
}

func failure(id []byte, message string) []byte {
	return jsonrpc.AppendError(nil, id, mcp.CodeInternalError, message, nil)
}

// events reads the stream of an answer. If it ends before take says that all has
// come, and its server has named events, it is taken up where it broke off
// (2025-11-25, basic/transports, Resumability and Redelivery).
func (l *loop) events(ctx context.Context, from sender, resp *http.Response, h *hold, take func(text []byte) bool) {
	at, done, attempt := position{}, false, 0
	patience := backoff.Backoff{Min: resumeMin, Max: resumeMax}
	read := func(text []byte) {
		attempt = 0
		patience.Reset()
		done = take(text)
	}
	at.read(ctx, resp.Body, h, read)
	for !done && at.lastID != "" && attempt < maxResumes {
		attempt++
		if backoff.Sleep(ctx, max(at.pause(), patience.Next())) != nil || l.listen(ctx, from, &at, read) != http.StatusOK {
			return
		}
	}
}

// listen reads the stream that GET opens, from where at stands to its end. It
// returns the status of the answer, 0 if there was no stream.
func (l *loop) listen(ctx context.Context, from sender, at *position, take func(text []byte)) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := l.do(ctx, http.MethodGet, from, nil, at.lastID)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode != http.StatusOK:
		return resp.StatusCode
	case !mcp.MediaType(resp.Header.Get("Content-Type"), typeStream):
		return 0
	}
	at.read(ctx, resp.Body, &hold{in: l.in, name: l.name, cut: cancel}, take)
	return http.StatusOK
}

// end ends the session; false if the endpoint could not do that.
func (l *loop) end(ctx context.Context, from sender) bool {
	resp, err := l.do(ctx, http.MethodDelete, from, nil, "")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode < http.StatusInternalServerError
}
