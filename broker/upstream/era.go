package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// probePatience bounds the wait for the answer to server/discover where it is not
// known whether one will come: there are servers with sessions that give none.
const probePatience = 5 * time.Second

// errAnew says that the server is not what it was found to be.
var errAnew = errors.New("the server speaks or announces something else than before")

// finding is what a server was found to speak, and how discovery speaks with it.
type finding struct {
	link           *link
	hello          hello
	modern, legacy bool
	// inSession is what a server that speaks both said in initialize.
	inSession hello
	// listed tells that the answer to server/discover had revisions with sessions.
	listed bool
	// unsure tells that the server was not able to say whether it is modern.
	unsure bool
	// announced are the lists that the server has said to have changed.
	announced *changes
}

// find makes the first contact (2026-07-28, basic/transports/streamable-http,
// Backward Compatibility): server/discover, and unless that shows a stateless
// server, initialize. Of a server that speaks both, discovery uses the former.
func (s *Server) find(ctx context.Context) (*finding, error) {
	if s.era == gatewayconfig.EraLegacy {
		f, err := s.findLegacy(ctx)
		return f, s.explain(ctx, err)
	}
	p, err := s.probe(ctx)
	if err != nil {
		return nil, err
	}
	if p.verdict == modernEra {
		f := &finding{link: s.stateless(&p.hello), hello: p.hello, modern: true, listed: p.legacy}
		if s.era == gatewayconfig.EraModern {
			return f, nil
		}
		return f, s.lookForSessions(ctx, f)
	}
	if s.era != gatewayconfig.EraModern {
		f, err := s.findLegacy(ctx)
		switch {
		case err == nil:
			f.unsure = p.verdict == unclear
			return f, nil
		case p.verdict == refused:
			return nil, fmt.Errorf("%w; %w", p.err, err)
		case p.verdict != bareEra || transient(err):
			return nil, s.explain(ctx, err)
		}
	}
	if p.verdict == bareEra {
		return s.findBare(ctx, p.err)
	}
	return nil, p.err
}

func (s *Server) findLegacy(ctx context.Context) (*finding, error) {
	l, h, err := s.client.open(ctx, self{offer: mcp.LatestLegacy, info: s.info, capabilities: all})
	if err != nil {
		return nil, err
	}
	return &finding{link: l, hello: h, legacy: true}, nil
}

// lookForSessions sets whether a stateless server has sessions, too. It tries,
// whatever the server lists: what it declares in a session is of interest, and
// the revisions listed may be those of its library.
func (s *Server) lookForSessions(ctx context.Context, f *finding) error {
	other, err := s.findLegacy(ctx)
	switch {
	case err == nil:
		other.link.leave(ctx)
		f.legacy, f.inSession = true, other.hello
	case transient(err) || ctx.Err() != nil:
		return err
	}
	return nil
}

// findBare finds a stateless server that does not know server/discover, although
// it must: what it lists, it offers.
func (s *Server) findBare(ctx context.Context, refusal error) (*finding, error) {
	f := &finding{link: s.stateless(&hello{}), modern: true}
	for kind, method := range map[kinds]string{
		tools: mcp.MethodToolsList, prompts: mcp.MethodPromptsList, resources: mcp.MethodResourcesList,
	} {
		_, err := f.link.call(ctx, method, nil)
		if err == nil {
			f.hello.offers |= kind
		} else if !errors.As(err, new(*rpcError)) {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
	}
	if f.hello.offers == 0 {
		return nil, refusal
	}
	return f, nil
}

// findAgain looks whether the server still speaks what it was found to speak,
// since it may have been replaced by another version. It returns errAnew if
// not, and takes over what else has changed. A server that cannot be asked now is
// the listing's to notice.
func (s *Server) findAgain(ctx context.Context, f *finding) error {
	if s.era == gatewayconfig.EraLegacy {
		return nil
	}
	p, err := s.probe(ctx)
	switch {
	case err != nil || p.verdict == unclear:
		return ctx.Err()
	case !f.modern:
		f.unsure = false
		if p.verdict == modernEra {
			return errAnew
		}
		return nil
	case p.verdict == bareEra && f.hello.capabilities == nil:
		return nil
	case p.verdict != modernEra || p.legacy != f.listed:
		return errAnew
	}
	if p.hello.announces != f.hello.announces {
		return errAnew // the stream is about that
	}
	lost := f.legacy && s.doubted.Swap(false) && s.lostSessions(ctx, f)
	if lost || !p.hello.equal(&f.hello) {
		f.hello = p.hello
		s.greet(f)
	}
	return ctx.Err()
}

// lostSessions looks again whether a server that speaks both has sessions.
func (s *Server) lostSessions(ctx context.Context, f *finding) bool {
	now := finding{}
	if err := s.lookForSessions(ctx, &now); err != nil || now.legacy {
		return false
	}
	f.legacy, f.inSession = false, hello{}
	return true
}

// stateless returns the link of discovery to a server without sessions.
func (s *Server) stateless(h *hello) *link {
	return &link{
		client: s.client, peer: peer{version: mcp.Revision20260728},
		meta: metaOf(s.info, allStateless), announces: h.offers & h.announces,
	}
}

// transient reports whether an error says nothing about what a server speaks.
func transient(err error) bool {
	status, ok := errors.AsType[statusError](err)
	return errors.As(err, new(unreachable)) || ok && busy(int(status))
}

// busy reports whether a status may be another one at the next attempt.
func busy(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// verdict is what the answer to server/discover says of a server.
type verdict int

const (
	// unclear: no answer in time, or one that is about the moment only. Servers
	// with sessions that fail over a request without one are among them.
	unclear   verdict = iota
	modernEra         // it speaks a stateless revision that is served
	bareEra           // it knows stateless revisions, but not the method
	refused           // it knows stateless revisions, but none that is served
	legacyEra         // anything else
)

// probed is the outcome of server/discover. hello and legacy are set with
// modernEra; legacy tells that revisions with sessions are listed, too. err says
// why the server cannot be spoken to so, else.
type probed struct {
	verdict verdict
	hello   hello
	legacy  bool
	err     error
}

// probe sends server/discover, and once more to a server that refused its revision
// but lists it among its own: a client goes on with one of those (2026-07-28,
// basic/versioning). The error says that the server was not reached.
func (s *Server) probe(ctx context.Context) (probed, error) {
	p, err := s.probeOnce(ctx)
	if err == nil && p.verdict == refused && listsStateless(p.err) {
		return s.probeOnce(ctx)
	}
	return p, err
}

// listsStateless reports whether an error lists a revision that the gateway offers.
func listsStateless(err error) bool {
	rpc, ok := errors.AsType[*rpcError](err)
	if !ok || rpc.code != mcp.CodeUnsupportedVersion {
		return false
	}
	var e struct {
		Data struct {
			Supported []mcp.Revision `json:"supported"`
		} `json:"data"`
	}
	return json.Unmarshal(rpc.raw, &e) == nil && slices.Contains(e.Data.Supported, mcp.Revision20260728)
}

func (s *Server) probeOnce(ctx context.Context) (probed, error) {
	patience := s.client.timeout
	if s.era != gatewayconfig.EraModern {
		patience = min(patience, probePatience)
	}
	within, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	l := s.stateless(&hello{})
	id := l.nextID()
	resp, err := l.send(within, outgoing{
		verb: http.MethodPost, accept: typeBoth, body: request(id, mcp.MethodDiscover, withMeta(nil, l.meta)),
	})
	if err != nil {
		if ctx.Err() == nil && within.Err() != nil {
			return probed{err: fmt.Errorf("server/discover: %w", context.Cause(within))}, nil
		}
		return probed{}, fmt.Errorf("server/discover: %w", cause(ctx, err))
	}
	defer func() { _ = resp.Body.Close() }()
	p := l.judge(within, resp, id)
	if p.err != nil {
		p.err = fmt.Errorf("server/discover: %w", cause(within, p.err))
	}
	if p.verdict != modernEra && within.Err() != nil {
		p.verdict = unclear
	}
	return p, ctx.Err()
}

// judge reads the answer to server/discover.
func (l *link) judge(ctx context.Context, resp *http.Response, id []byte) probed {
	status := resp.StatusCode
	result, err := l.refusal(ctx, resp, id)
	if err == nil {
		return discovered(result)
	}
	p := probed{verdict: legacyEra, err: err}
	rpc, isError := errors.AsType[*rpcError](err)
	switch {
	case busy(status) || status >= http.StatusInternalServerError:
		p.verdict = unclear
	case !isError:
	case rpc.code == mcp.CodeMethodNotFound && status == http.StatusNotFound:
		p.verdict = bareEra
	case rpc.code == mcp.CodeHeaderMismatch, rpc.code == mcp.CodeMissingCapability, rpc.code == mcp.CodeUnsupportedVersion:
		p.verdict = refused
	}
	return p
}

// refusal is answer, but an error with status 4xx may have any id or none: of a
// server that refuses a request not all have read so far.
func (l *link) refusal(ctx context.Context, resp *http.Response, id []byte) ([]byte, error) {
	if status := resp.StatusCode; status < 400 || status >= 500 || mediaType(resp) != typeJSON {
		return l.answer(ctx, resp, id)
	}
	body, err := l.readAll(resp)
	if err != nil {
		return nil, err
	}
	var m struct {
		JSONRPC string          `json:"jsonrpc"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &m) != nil || m.JSONRPC != "2.0" || len(m.Error) == 0 {
		return nil, statusError(resp.StatusCode)
	}
	return nil, decodeError(m.Error)
}

// discovered reads a result of server/discover (2026-07-28, server/discover).
// There are servers that answer anything with a success.
func discovered(result []byte) probed {
	var r struct {
		Versions     []mcp.Revision             `json:"supportedVersions"`
		Capabilities json.RawMessage            `json:"capabilities"`
		Instructions string                     `json:"instructions"`
		Meta         map[string]json.RawMessage `json:"_meta"`
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return probed{verdict: legacyEra, err: fmt.Errorf("decode the result: %w", err)}
	}
	if !slices.ContainsFunc(r.Versions, mcp.ServedModern) {
		p := probed{verdict: legacyEra, err: fmt.Errorf("the server speaks %s, of which nothing is served without sessions", clip(fmt.Sprint(r.Versions)))}
		if slices.ContainsFunc(r.Versions, mcp.Modern) {
			p.verdict = refused
		}
		return p
	}
	h := hello{info: r.Meta[mcp.MetaServerInfo], instructions: r.Instructions, capabilities: r.Capabilities}
	if len(r.Capabilities) > 0 {
		if err := h.readCapabilities(); err != nil {
			return probed{verdict: refused, err: fmt.Errorf("decode the capabilities: %w", err)}
		}
	}
	return probed{verdict: modernEra, hello: h, legacy: slices.ContainsFunc(r.Versions, mcp.Served)}
}
