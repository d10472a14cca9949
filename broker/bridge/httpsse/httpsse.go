// Package httpsse is a connection to an MCP server of the first revision that
// spoke HTTP (2024-11-05, basic/transports, HTTP with SSE): an event stream that
// names the URL to post messages to, and brings the answers. It reads no
// message. It serves the broker's bridge.
package httpsse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// maxEarly bounds the events that come together with the first one.
const maxEarly = 64

// naming is how long a server may take to name its endpoint on an open stream. It
// is the first thing that one has to say.
const naming = 5 * time.Second

// streamable follows errors that the other transport is a likely reason of.
const streamable = "; if it speaks Streamable HTTP, leave out transport: sse"

// Server says where the stream is.
type Server struct {
	// URL is that of the event stream, http or https.
	URL string
	// Host replaces the Host header; empty means the URL's.
	Host string
	// Headers are sent with every request. Values may be secrets.
	Headers map[string]string
	// Source has the token of the requests; nil for none.
	Source *credential.Source
	// Limit bounds a message of the server in bytes.
	Limit int
	// Transport makes the requests; see outbound.NewTransport.
	Transport http.RoundTripper
}

// Conn is an open stream.
type Conn struct {
	server Server
	client *outbound.Client
	post   string // URL of the endpoint
	stream io.ReadCloser
	parser sse.Parser
	early  [][]byte // messages that came with the endpoint
	life   context.Context
	cancel context.CancelFunc
}

// Connect opens the stream and waits for the server to name its endpoint.
func Connect(ctx context.Context, s Server) (*Conn, error) {
	c := &Conn{server: s, parser: sse.Parser{Limit: s.Limit}, client: outbound.NewClient(s.Transport)}
	c.life, c.cancel = context.WithCancel(context.Background())
	connected := context.AfterFunc(ctx, c.cancel)
	err := c.open()
	if !connected() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("open the event stream: %w", err)
	}
	return c, nil
}

func (c *Conn) request(ctx context.Context, method, to string, body []byte) (*http.Response, error) {
	for again := false; ; again = true {
		token, err := c.server.Source.Own(ctx)
		if err != nil {
			return nil, err
		}
		resp, err := c.requestWith(ctx, method, to, body, token.Authorization)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || again || !c.server.Source.Refused(token.Authorization, nil, true) {
			return resp, err
		}
		_ = resp.Body.Close() // of what was refused nothing has been looked at
	}
}

// requestWith is request with a token, empty for none.
func (c *Conn) requestWith(ctx context.Context, method, to string, body []byte, token string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		return nil, outbound.Cause(err)
	}
	for name, value := range c.server.Headers {
		r.Header.Set(name, value)
	}
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	r.Host = c.server.Host
	r.Header.Set("User-Agent", "mcp-gateway")
	if body == nil {
		r.Header.Set("Accept", "text/event-stream")
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	return c.client.Do(r)
}

func (c *Conn) open() error {
	resp, err := c.request(c.life, http.MethodGet, c.server.URL, nil)
	if err != nil {
		return err
	}
	c.stream = resp.Body
	if err = c.named(resp); err == nil {
		return nil
	}
	_ = resp.Body.Close()
	return err
}

// named waits for the endpoint. Of a Streamable HTTP server a GET without session
// is refused, mostly in JSON, or the stream stays silent.
func (c *Conn) named(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	switch status := resp.StatusCode; {
	case status == http.StatusBadRequest, status == http.StatusNotFound, status == http.StatusMethodNotAllowed,
		status == http.StatusNotAcceptable:
		return fmt.Errorf("the server answers with HTTP status %d%s", status, streamable)
	case status != http.StatusOK:
		return fmt.Errorf("the server answers with HTTP status %d", status)
	case mcp.MediaType(kind, "application/json"):
		return errors.New("the answer is JSON" + streamable)
	case !mcp.MediaType(kind, "text/event-stream"):
		return errors.New("the answer is no event stream")
	}
	late := time.AfterFunc(naming, c.cancel)
	err := c.events(c.first)
	switch inTime := late.Stop(); {
	case !inTime:
		return fmt.Errorf("the server names no endpoint on its stream within %v%s", naming, streamable)
	case errors.Is(err, errNamed):
		return nil
	case errors.Is(err, io.EOF):
		return errors.New("the stream ended before the server named its endpoint")
	}
	return err
}

// errNamed says that the endpoint is known.
var errNamed = errors.New("named")

// events hands on the events of the next bytes until f fails or the stream
// ends. What came in the same bytes is handed on first.
func (c *Conn) events(f func(sse.Event) error) error {
	chunk := make([]byte, 16<<10)
	for {
		n, readErr := c.stream.Read(chunk)
		var stop error
		if err := c.parser.Feed(chunk[:n], func(e sse.Event) error {
			if err := f(e); err != nil {
				stop = err
			}
			return nil
		}); err != nil {
			return err
		}
		if stop != nil {
			return stop
		}
		if readErr != nil {
			return readErr
		}
	}
}

// first takes events until the endpoint is known.
func (c *Conn) first(e sse.Event) error {
	switch {
	case string(e.Name) == "endpoint" && c.post == "":
		post, err := c.resolve(string(e.Data))
		if err != nil {
			return err
		}
		c.post = post
		return errNamed
	case isMessage(e) && len(c.early) < maxEarly:
		c.early = append(c.early, bytes.Clone(e.Data))
	}
	return nil
}

func isMessage(e sse.Event) bool {
	return len(e.Data) > 0 && (len(e.Name) == 0 || string(e.Name) == "message")
}

// resolve returns the endpoint's URL, which must be at the server itself: the
// messages go there, and the secrets with them.
func (c *Conn) resolve(reference string) (string, error) {
	base, err := url.Parse(c.server.URL)
	if err != nil {
		return "", errors.New("its url is no URL")
	}
	u, err := base.Parse(strings.TrimSpace(reference))
	if err != nil {
		return "", errors.New("the server's endpoint is no URL")
	}
	if u.Scheme != base.Scheme || !sameHost(base, u) || u.User != nil {
		return "", errors.New("the server's endpoint is at another origin")
	}
	u.Fragment = ""
	return u.String(), nil
}

func sameHost(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// Send posts one message.
func (c *Conn) Send(ctx context.Context, message []byte) error {
	if err := c.life.Err(); err != nil {
		return fmt.Errorf("post a message: the stream has ended: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	resp, err := c.request(ctx, http.MethodPost, c.post, message)
	if err != nil {
		return fmt.Errorf("post a message: %w", err)
	}
	// The answer comes on the stream; this one only says that it will.
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		c.cancel() // the server has forgotten the stream
		fallthrough
	case resp.StatusCode >= 300:
		return fmt.Errorf("post a message: the server answers with HTTP status %d", resp.StatusCode)
	}
	return nil
}

// Receive hands over each message of the stream.
func (c *Conn) Receive(f func(message []byte)) error {
	defer c.stream.Close() //nolint:errcheck // only read
	for _, m := range c.early {
		f(m)
	}
	c.early = nil
	err := c.events(func(e sse.Event) error {
		if isMessage(e) {
			f(e.Data)
		}
		return nil
	})
	if errors.Is(err, io.EOF) {
		return errors.New("the event stream ended")
	}
	return fmt.Errorf("read the event stream: %w", err)
}

// Close ends the stream, which is how a client of this revision leaves.
func (c *Conn) Close(time.Duration) { c.cancel() }
