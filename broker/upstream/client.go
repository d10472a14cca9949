package upstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/outbound"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

const (
	typeJSON   = "application/json"
	typeStream = "text/event-stream"
	typeBoth   = typeJSON + ", " + typeStream
)

// ErrSessionGone says that the server does not know the session any more
// (mcp.LostSession): a new initialize is due.
var ErrSessionGone = errors.New("the server has ended the session")

// client sends HTTP requests to one server: its URL, Host and headers, and
// bounds on what may come back. It knows sessions only as headers.
type client struct {
	http *outbound.Client
	// lasting makes the requests for event streams.
	lasting *outbound.Client
	url     *url.URL
	host    string
	headers map[string]string
	// credential is the Authorization of the broker's own session; empty for
	// none, or what headers say.
	credential string
	// source has the tokens of requests; nil for none. forward are the headers of a
	// caller that go along.
	source  *credential.Source
	forward []string
	// timeout bounds one request with its answer, but not an event stream that
	// was opened by GET.
	timeout time.Duration
	// bodyLimit is the most bytes of one answer, or of one event.
	bodyLimit int
	// ids numbers the requests of all sessions; origin tells them from those of
	// a client in the same session, and of other replicas.
	ids    atomic.Int64
	origin string
}

func newClient(cfg gatewayconfig.Server, o Options, transport, lasting http.RoundTripper, bodyLimit int) (*client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("server %s: url is no http or https URL", cfg.Name)
	}
	timeout := time.Duration(cfg.ListTimeout)
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	return &client{
		http:       outbound.NewClient(transport),
		lasting:    outbound.NewClient(lasting),
		url:        u,
		host:       cfg.Host,
		headers:    cfg.Headers,
		credential: cfg.Credential,
		source:     o.Source,
		forward:    cfg.ForwardHeaders,
		timeout:    timeout,
		bodyLimit:  bodyLimit,
		origin:     "gateway-" + rand.Text()[:12] + "-",
	}, nil
}

// unreachable wraps why a request has no answer.
type unreachable struct{ error }

func (e unreachable) Unwrap() error { return e.error }

// outgoing is one HTTP request.
type outgoing struct {
	verb   string
	accept string // empty for none
	peer   peer
	body   []byte // JSON; nil for none
	after  string // Last-Event-ID; empty for none
	// header goes with it besides what is set here; nil for none.
	header http.Header
	// id is the raw one of a client's request, whose answer may have any status.
	id []byte
	// once forbids to send it again where it is unknown whether it has arrived.
	once bool
	// own tells that it is the broker's, and not sent for a client.
	own bool
	// lasts tells that the answer is to be an event stream that stays open.
	lasts bool
}

// send makes one request, for the caller of ctx. The caller closes the body of the
// answer. Statuses that mean the same for every request become errors:
// ErrSessionGone, and the redirects. A request whose token is refused was not
// looked at, and is sent once more with another one. The error can be
// credential.ErrNone.
func (c *client) send(ctx context.Context, o outgoing) (*http.Response, error) {
	for again := false; ; again = true {
		token, err := c.token(ctx, o.own)
		if err != nil {
			return nil, err
		}
		resp, err := c.sendWith(ctx, o, token.Authorization)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || again || !c.source.Refused(token.Authorization, credential.From(ctx), o.own) {
			return resp, err
		}
		_ = resp.Body.Close()
	}
}

// Token returns what requests for the caller of ctx are sent as Authorization by a
// source, zero for none. refused is what the server has answered 401 to; empty for
// nothing. The error is credential.ErrNone or that of ctx.
func (s *Server) Token(ctx context.Context, refused string) (credential.Token, error) {
	s.client.source.Refused(refused, credential.From(ctx), false)
	return s.client.token(ctx, false)
}

// IsUnauthorized reports whether the server does not take the credential that the
// request had.
func IsUnauthorized(err error) bool {
	status, ok := errors.AsType[statusError](err)
	return ok && status == http.StatusUnauthorized
}

// token returns what the request is sent of the source.
func (c *client) token(ctx context.Context, own bool) (credential.Token, error) {
	if own {
		return c.source.Own(ctx)
	}
	return c.source.For(ctx, credential.From(ctx))
}

// sendWith is send with a token, empty for none.
func (c *client) sendWith(ctx context.Context, o outgoing, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, o.verb, c.url.String(), bytes.NewReader(o.body))
	if err != nil {
		return nil, outbound.Cause(err)
	}
	if by := credential.From(ctx); by != nil && !o.own {
		for _, name := range c.forward {
			if values := by.Header.Values(name); len(values) > 0 {
				req.Header[http.CanonicalHeaderKey(name)] = values
			}
		}
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	for name, values := range o.header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Host = c.host
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if o.body != nil {
		req.Header.Set("Content-Type", typeJSON)
	}
	if o.own {
		set("Authorization", c.credential)
	}
	set("Authorization", token)
	set("Accept", o.accept)
	set("User-Agent", "mcp-gateway")
	set(mcp.HeaderSession, o.peer.id)
	set(mcp.HeaderProtocolVersion, string(o.peer.version))
	set("Last-Event-ID", o.after)
	if mcp.Modern(o.peer.version) {
		if err := describe(req.Header, o.body); err != nil {
			return nil, err
		}
	}
	if !o.once {
		// An empty list is not sent; it tells the transport that the request may
		// be repeated when an idle connection turns out to be closed.
		req.Header["Idempotency-Key"] = []string{}
	}

	by := c.http
	if o.lasts {
		by = c.lasting
	}
	resp, err := by.Do(req)
	if err != nil {
		return nil, unreachable{err}
	}
	switch {
	case o.peer.id != "" && lostSession(resp, o.id):
		err = ErrSessionGone
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		err = fmt.Errorf("the server redirects to %q: configure the final URL", clip(resp.Header.Get("Location")))
	default:
		return resp, nil
	}
	_ = resp.Body.Close()
	return nil, err
}

// lostSession reports whether the server has refused the session. id is as in
// outgoing. It leaves the body as it was.
func lostSession(resp *http.Response, id []byte) bool {
	var begin []byte
	if resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusNotFound {
		begin, _ = io.ReadAll(io.LimitReader(resp.Body, mcp.LongestRefusal)) // the rest shows the error again
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(begin), resp.Body), resp.Body}
	}
	var m jsonrpc.Message
	answered := id != nil && m.Scan(begin) == nil && m.Kind == jsonrpc.Response && sameID(m.ID.Of(begin), id)
	return mcp.LostSession(resp.StatusCode, begin, answered)
}

// readAll reads an answer of at most bodyLimit bytes.
func (c *client) readAll(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.bodyLimit)+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > c.bodyLimit {
		return nil, fmt.Errorf("the answer has more than %d bytes", c.bodyLimit)
	}
	return body, nil
}

// mediaType returns the content type without parameters, lower case.
func mediaType(resp *http.Response) string {
	header := resp.Header.Get("Content-Type")
	if t, _, err := mime.ParseMediaType(header); err == nil {
		return t
	}
	t, _, _ := strings.Cut(header, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// clip shortens text of a server for an error message.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
