// Package shim lets a client that knows one server's own names talk to that
// server through a gateway that federates it with others: it puts the server's
// prefix and label before what the client asks for, and takes them off what the
// gateway answers. Everything else passes as it is, so that a client's findings
// are about the gateway. Names of other servers stay as the gateway shows them.
package shim

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// Headers of the stateless revision, as Go spells them.
const (
	headerMethod = "Mcp-Method"
	headerName   = "Mcp-Name"
)

// New proxies to the gateway's endpoint, whatever the path asked for. The prefix
// stands before the server's tools and prompts, the label before its URIs, as in
// label+uri. The others are the labels of other servers; their prefixes are the
// same with an underscore.
func New(endpoint, prefix, label string, others ...string) (http.Handler, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("gateway's endpoint: %w", err)
	}
	names := strings.NewReplacer(
		`"name":"`+prefix, `"name":"`,
		`"uri":"`+label+`+`, `"uri":"`,
		`"uriTemplate":"`+label+`+`, `"uriTemplate":"`,
	)
	return &httputil.ReverseProxy{
		// An event is to leave as soon as it came.
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = target
			body, err := io.ReadAll(r.In.Body)
			if err != nil {
				return // the gateway sees a request without body and refuses it
			}
			s := Server{prefix, label, others}
			for i, name := range r.Out.Header.Values(headerName) {
				r.Out.Header[headerName][i] = s.Header(r.Out.Header.Get(headerMethod), name)
			}
			body = s.Request(body)
			r.Out.Body, r.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Content-Length")
			r.ContentLength = -1
			r.Body = &answer{lines: bufio.NewReader(r.Body), closer: r.Body, names: names}
			return nil
		},
	}, nil
}

// Server is how the gateway names what a server has, and the labels of others.
type Server struct {
	Prefix, Label string
	Others        []string
}

// name is the gateway's name of a tool or prompt, uri that of a resource. What has
// another server's name already is asked of that one.
func (s Server) name(own string) string { return s.put(s.Prefix, own, "_") }
func (s Server) uri(own string) string  { return s.put(s.Label+"+", own, "+") }

func (s Server) put(text, own, separator string) string {
	for _, other := range s.Others {
		if strings.HasPrefix(own, other+separator) {
			return own
		}
	}
	return text + own
}

// Request is a message of the client in the gateway's names.
func (s Server) Request(body []byte) []byte {
	var message, params, ref map[string]json.RawMessage
	if json.Unmarshal(body, &message) != nil || json.Unmarshal(message["params"], &params) != nil {
		return body // not ours to judge
	}
	var method string
	if json.Unmarshal(message["method"], &method) != nil {
		return body
	}
	switch method {
	case "subscriptions/listen":
		var filter map[string]json.RawMessage
		var uris []string
		if json.Unmarshal(params["notifications"], &filter) != nil || json.Unmarshal(filter["resourceSubscriptions"], &uris) != nil {
			return body
		}
		for i := range uris {
			uris[i] = s.uri(uris[i])
		}
		filter["resourceSubscriptions"] = encode(uris)
		params["notifications"] = encode(filter)
	case "tools/call", "prompts/get":
		put(params, "name", s.name)
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		put(params, "uri", s.uri)
	case "completion/complete":
		if json.Unmarshal(params["ref"], &ref) != nil {
			return body
		}
		put(ref, "name", s.name)
		put(ref, "uri", s.uri)
		params["ref"] = encode(ref)
	default:
		return body
	}
	message["params"] = encode(params)
	return encode(message)
}

// Header is a value of Mcp-Name in the gateway's names, encoded as it was. A value
// that cannot be decoded stays, for the gateway to refuse.
func (s Server) Header(method, value string) string {
	shown := s.name
	switch strings.TrimSpace(method) {
	case "tools/call", "prompts/get":
	case "resources/read":
		shown = s.uri
	default:
		return value
	}
	name := strings.TrimSpace(value)
	encoded, ok := strings.CutPrefix(name, "=?base64?")
	if !ok {
		return shown(name)
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(encoded, "?="))
	if err != nil || !strings.HasSuffix(encoded, "?=") {
		return value
	}
	return "=?base64?" + base64.StdEncoding.EncodeToString([]byte(shown(string(decoded)))) + "?="
}

// put replaces a member that is a string.
func put(object map[string]json.RawMessage, member string, shown func(string) string) {
	var value string
	if json.Unmarshal(object[member], &value) == nil {
		object[member] = encode(shown(value))
	}
}

func encode(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // what was decoded a moment ago
	}
	return text
}

// answer is a body with its names rewritten line by line: a JSON document as the
// servers here write it is one line, an event has one for its data.
type answer struct {
	lines  *bufio.Reader
	closer io.Closer
	names  *strings.Replacer
	rest   string
	err    error
}

func (a *answer) Read(p []byte) (int, error) {
	for a.rest == "" {
		if a.err != nil {
			return 0, a.err
		}
		var line string
		line, a.err = a.lines.ReadString('\n')
		a.rest = a.names.Replace(line)
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *answer) Close() error { return a.closer.Close() }
