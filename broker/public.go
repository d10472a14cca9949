package broker

import (
	"io"
	"net/http"
	"runtime/debug"
	"strings"

	"go.uber.org/zap"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
	"mcp-gateway/internal/principal"
)

// methodTable maps each method of the revisions with sessions that is answered
// here to its function. All of them but initialize are called with a session.
func (b *Broker) methodTable() map[string]func(*call) {
	return map[string]func(*call){
		mcp.MethodInitialize:           b.initialize,
		mcp.MethodPing:                 b.ping,
		mcp.MethodToolsList:            b.list,
		mcp.MethodPromptsList:          b.list,
		mcp.MethodResourcesList:        b.list,
		mcp.MethodResourcesTemplates:   b.list,
		mcp.MethodSetLevel:             b.setLevel,
		mcp.MethodResourcesSubscribe:   b.subscribe,
		mcp.MethodResourcesUnsubscribe: b.subscribe,
		mcp.MethodToolsCall:            b.toModern,
		mcp.MethodPromptsGet:           b.toModern,
		mcp.MethodResourcesRead:        b.toModern,
		mcp.MethodComplete:             b.toModern,
	}
}

// call is one request of a client on its way through the broker.
type call struct {
	w *response
	r *http.Request
	// view stays the same for the whole request.
	view *view
	body []byte
	msg  jsonrpc.Message
	// id is the raw id to answer with; nil before it is known.
	id []byte
	// method is the JSON-RPC method, decoded.
	method string
	// endpoint names the view that the request was sent to, shown is that view;
	// both are set once there is a configuration.
	endpoint string
	shown    *catalog.View
	// session is the client's, set for everything but initialize.
	session session.Session
	// who sends the request; nil unless that has to be proved. Set with endpoint.
	who *principal.Principal
	// modern is set for a request of a stateless revision, which has no session.
	modern *modernCall
}

// Public returns the handler for clients: the MCP endpoint and those of the
// views; and for Envoy: the bridges. Envoy's filter has checked what is checked
// here too; the broker trusts only its own eyes.
func (b *Broker) Public() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: &response{ResponseWriter: w}, r: r, view: b.view.Load()}
		defer b.recoverCall(c)
		if !c.passedEnvoy(b.opts.Secret) || c.toBridge() || !c.identify() {
			return
		}
		c.represent()
		if b.oldClient(c) || !c.findEndpoint() {
			return
		}
		switch {
		case r.Method == http.MethodPost:
			b.post(c)
		case modern.OfHeaders(headersOf(r)):
			c.onlyPost()
		case r.Method == http.MethodGet:
			b.get(c)
		case r.Method == http.MethodDelete:
			b.delete(c)
		default:
			w.Header().Set("Allow", "GET, POST, DELETE")
			c.fail(http.StatusMethodNotAllowed, mcp.CodeInvalidRequest, "method not allowed")
		}
	})
}

// passedEnvoy reports whether the request comes from the gateway's own Envoy, or
// answers it: whoever comes past that has not been asked who it is.
func (c *call) passedEnvoy(secret string) bool {
	proof := c.r.Header.Get(mcp.HeaderProof)
	c.r.Header.Del(mcp.HeaderProof)
	if gatewayconfig.Admits(proof, secret) {
		return true
	}
	c.fail(http.StatusForbidden, mcp.CodeInvalidRequest, "requests come through the gateway's Envoy, which knows the broker's secret")
	return false
}

// recoverCall answers for a request whose handler panicked. An answer that has
// begun is cut off, so that nobody takes it for complete.
func (b *Broker) recoverCall(c *call) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	b.log.Error("request handler panicked", zap.String("method", c.method), zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
	if c.w.begun {
		panic(http.ErrAbortHandler)
	}
	c.fail(http.StatusOK, mcp.CodeInternalError, "internal error")
}

// post handles one JSON-RPC message (2025-11-25, basic/transports, Sending
// Messages to the Server). The answer is always JSON.
func (b *Broker) post(c *call) {
	switch {
	case !mcp.JSONBody(c.r.Header.Get("Content-Type")):
		c.fail(http.StatusUnsupportedMediaType, mcp.CodeInvalidRequest, "Content-Type must be application/json")
	case !accepts(c.r, "application/json") || !accepts(c.r, "text/event-stream"):
		c.fail(http.StatusNotAcceptable, mcp.CodeInvalidRequest, "Accept must include application/json and text/event-stream")
	case !b.readBody(c) || !b.scan(c):
	case c.isModern():
		b.postModern(c)
	case c.checkRevision() && b.openedBy(c):
		b.dispatch(c)
	}
}

// readBody reads the body up to the limit. Like all steps of post it answers
// and returns false if the request ends here.
func (b *Broker) readBody(c *call) bool {
	limit := c.view.limits.Body
	tooLarge := c.r.ContentLength > limit
	if !tooLarge {
		body, err := io.ReadAll(io.LimitReader(c.r.Body, limit+1))
		if err != nil {
			c.fail(http.StatusBadRequest, mcp.CodeParseError, "request body ends too early")
			return false
		}
		c.body, tooLarge = body, int64(len(body)) > limit
	}
	if tooLarge {
		b.metrics.Refused(limitBody)
		c.fail(http.StatusRequestEntityTooLarge, mcp.CodeInvalidRequest, "request body exceeds the limit")
	}
	return !tooLarge
}

func (b *Broker) scan(c *call) bool {
	if err := c.msg.ScanWithin(c.body, c.view.limits.Depth); err != nil {
		if err.TooDeep {
			b.metrics.Refused(limitDepth)
		}
		c.id = err.ID.Of(c.body)
		c.fail(http.StatusBadRequest, err.Code, err.Reason)
		return false
	}
	c.id = c.msg.ID.Of(c.body)
	method, _ := jsonrpc.Unquote(nil, c.msg.Method.Of(c.body))
	c.method = string(method)
	return true
}

// checkRevision refuses a revision with sessions that is not served.
func (c *call) checkRevision() bool {
	requested := c.r.Header.Get(mcp.HeaderProtocolVersion)
	if requested != "" && !mcp.Served(mcp.Revision(requested)) {
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "unsupported MCP-Protocol-Version")
		return false
	}
	return true
}

// openedBy finds the session of a request, which only initialize does without.
func (b *Broker) openedBy(c *call) bool {
	if c.msg.Kind == jsonrpc.Request && c.method == mcp.MethodInitialize || c.isSessionless() {
		return true
	}
	return b.findSession(c)
}

// findSession sets c.session from the Mcp-Session-Id header.
func (b *Broker) findSession(c *call) bool {
	values := c.r.Header.Values(mcp.HeaderSession)
	switch {
	case len(values) == 0 || values[0] == "":
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "Mcp-Session-Id header is missing: initialize first")
		return false
	case len(values) > 1:
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "more than one Mcp-Session-Id header")
		return false
	}
	s, err := b.store.Get(c.r.Context(), session.ID(values[0]))
	if err != nil {
		b.failStore(c, err)
		return false
	}
	s.ID = session.ID(values[0])
	c.session = s
	if !b.checkEndpoint(c) {
		return false
	}
	b.hub.used(s.ID.Key(), credential.From(c.r.Context()))
	return true
}

// dispatch answers a message. Only requests have an answer.
func (b *Broker) dispatch(c *call) {
	if c.msg.Kind == jsonrpc.Batch {
		b.batch(c)
		return
	}
	if c.isSessionless() {
		b.dispatchSessionless(c)
		return
	}
	if c.msg.Kind != jsonrpc.Request {
		b.notification(c)
		return
	}
	if answer, ok := b.methods[c.method]; ok {
		answer(c)
		return
	}
	c.fail(http.StatusOK, mcp.CodeMethodNotFound, "method not found")
}

func (b *Broker) ping(c *call) { c.reply([]byte(`,"result":{}}`)) }

// notRouted answers the calls that the filter sends to their server. They come
// here if there is no filter in front, or if the server has come to speak another
// era since the filter's table was made, which is half a second old at most.
func (b *Broker) notRouted(c *call) {
	why := "the gateway's filter is not active"
	if c.r.Header.Get(mcp.HeaderLong) != "" { // which is the filter's to set
		why = "the protocol version of its server has just changed, call again"
	}
	c.fail(http.StatusOK, mcp.CodeInternalError, c.method+" was not routed to a server: "+why)
}

// delete ends a session: here at once, at the servers in the background. Whose it
// is cannot be told without a configuration.
func (b *Broker) delete(c *call) {
	if !c.checkRevision() || !b.findSession(c) || !c.view.configured && !b.begun(c) {
		return
	}
	held, err := b.store.Delete(c.r.Context(), c.session.ID)
	if err != nil {
		b.failStore(c, err)
		return
	}
	b.metrics.SessionEnded(metrics.Deleted)
	b.endSession(c.session.ID.Key())
	b.endBackends(held, credential.From(c.r.Context()))
	c.w.WriteHeader(http.StatusNoContent)
}

// accepts reports whether the Accept header admits the media type want. None
// admits everything.
func accepts(r *http.Request, want string) bool {
	values := r.Header.Values("Accept")
	return len(values) == 0 || mcp.Accepts(strings.Join(values, ","), want)
}
