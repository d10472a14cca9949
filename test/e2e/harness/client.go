package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Headers of the protocol, as Go spells them.
const (
	HeaderSession  = "Mcp-Session-Id"
	HeaderRevision = "Mcp-Protocol-Version"
)

// Revision is the one that Connect negotiates.
const Revision = "2025-11-25"

// Client speaks HTTP to an endpoint and adds nothing that it was not told.
type Client struct {
	t   testing.TB
	URL string
	// Header is sent with every request.
	Header http.Header
	http   *http.Client
}

// NewClient is a client without session. It has connections of its own.
func NewClient(t testing.TB, url string) *Client {
	t.Helper()
	transport := &http.Transport{
		DialContext:        (&net.Dialer{Timeout: Patience}).DialContext,
		DisableCompression: true,
		// As many as a test has callers, so that none waits for another's.
		MaxIdleConnsPerHost: 256,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{
		t:   t,
		URL: url,
		Header: http.Header{
			"Content-Type": {"application/json"},
			"Accept":       {"application/json, text/event-stream"},
		},
		http: &http.Client{Transport: transport},
	}
}

// Connect is a client with a session of its own.
func Connect(t testing.TB, url string) *Client {
	t.Helper()
	c := NewClient(t, url)
	c.Initialize()
	return c
}

// Initialize opens a session and keeps its id for the requests that follow.
func (c *Client) Initialize() Response {
	c.t.Helper()
	c.Header.Del(HeaderSession)
	r := c.Post(`{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"` + Revision +
		`","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`)
	if r.Status != http.StatusOK || r.Header.Get(HeaderSession) == "" {
		c.t.Fatalf("initialize: %s", r)
	}
	c.Header.Set(HeaderSession, r.Header.Get(HeaderSession))
	c.Header.Set(HeaderRevision, Revision)
	if n := c.Post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); n.Status != http.StatusAccepted {
		c.t.Fatalf("notifications/initialized: %s", n)
	}
	return r
}

// Session is the session id.
func (c *Client) Session() string { return c.Header.Get(HeaderSession) }

// With is the same client with headers changed: "Name: value", or "Name:" to
// leave one out.
func (c *Client) With(headers ...string) *Client {
	other := *c
	other.Header = c.Header.Clone()
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); value == "" {
			other.Header.Del(name)
		} else {
			other.Header.Set(name, value)
		}
	}
	return &other
}

// Response is a whole answer.
type Response struct {
	Status int
	Header http.Header
	Body   string
}

func (r Response) String() string {
	return fmt.Sprintf("status %d, %s: %.2000s", r.Status, r.Header.Get("Content-Type"), r.Body)
}

// Message is the JSON-RPC message of the answer: the body, or the data of the
// last event that has any.
func (r Response) Message() string {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
		return r.Body
	}
	message := ""
	for line := range strings.Lines(r.Body) {
		if data, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "data: "); ok && data != "" {
			message = data
		}
	}
	return message
}

// Reply is a JSON-RPC answer in raw pieces.
type Reply struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
		Data    json.RawMessage
	}
}

// Reply decodes the message.
func (r Response) Reply() (Reply, error) {
	var reply Reply
	if err := json.Unmarshal([]byte(r.Message()), &reply); err != nil {
		return reply, fmt.Errorf("no JSON-RPC answer (%w): %s", err, r)
	}
	return reply, nil
}

// Do sends one request and reads the whole answer. The test ends if there is
// none.
func (c *Client) Do(method, body string) Response {
	c.t.Helper()
	r, err := c.Try(c.t.Context(), method, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, c.URL, err)
	}
	return r
}

// Try is Do that reports its failure.
func (c *Client) Try(ctx context.Context, method, body string) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	resp, err := c.send(ctx, method, body)
	if err != nil {
		return Response{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end or given up
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return Response{}, fmt.Errorf("status %d, then: %w", resp.StatusCode, err)
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: string(content)}, nil
}

func (c *Client) send(ctx context.Context, method, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = c.Header.Clone()
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	return c.http.Do(req)
}

// Post sends a message.
func (c *Client) Post(body string) Response {
	c.t.Helper()
	return c.Do(http.MethodPost, body)
}

// Request sends a request with id 1 and raw params and returns its raw result;
// any error ends the test.
func (c *Client) Request(method, params string) string {
	c.t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"` + method + `"`
	if params != "" {
		body += `,"params":` + params
	}
	r := c.Post(body + "}")
	reply, err := r.Reply()
	if err != nil || r.Status != http.StatusOK || reply.Error != nil || string(reply.ID) != "1" {
		c.t.Fatalf("%s %s: %s", method, params, r)
	}
	return string(reply.Result)
}

// List returns the raw items of a list, and the test fails if there is more than
// one page.
func (c *Client) List(method string) []string {
	c.t.Helper()
	return Items(c.t, method, c.Request(method, ""))
}

// Items returns the raw items in the raw result of a list, and the test fails if
// there is more than one page.
func Items(t testing.TB, method, raw string) []string {
	t.Helper()
	var result map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &result); err != nil {
		t.Fatalf("%s: %v: %s", method, err, raw)
	}
	if next, ok := result["nextCursor"]; ok {
		t.Errorf("%s: nextCursor %s, want one page", method, next)
	}
	member := map[string]string{
		"tools/list": "tools", "prompts/list": "prompts",
		"resources/list": "resources", "resources/templates/list": "resourceTemplates",
	}[method]
	var items []json.RawMessage
	if err := json.Unmarshal(result[member], &items); err != nil {
		t.Fatalf("%s: %v: %s", method, err, raw)
	}
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = string(item)
	}
	return out
}

// Names are the names of the items of a list, in their order.
func (c *Client) Names(method string) []string {
	c.t.Helper()
	names := []string{}
	for _, item := range c.List(method) {
		var named struct{ Name string }
		if err := json.Unmarshal([]byte(item), &named); err != nil {
			c.t.Fatalf("%s: %v: %s", method, err, item)
		}
		names = append(names, named.Name)
	}
	return names
}

// Tool calls a tool with raw arguments and returns the raw result.
func (c *Client) Tool(name, arguments string) string {
	c.t.Helper()
	if arguments == "" {
		arguments = "{}"
	}
	return c.Request("tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, name, arguments))
}
