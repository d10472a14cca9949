package broker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// longestReplay bounds a replay for a server whose calls have no timeout: nobody
// sees what a server says meanwhile.
const longestReplay = 5 * time.Minute

// replay answers a message that its server refused because it had forgotten the
// backend session, or does not take the token any more: it opens a new one, or gets
// one, and sends the message, once. See gatewayconfig.PathReplay.
func (b *Broker) replay(w http.ResponseWriter, r *http.Request) {
	limit := int64(largestQuestion) + b.view.Load().limits.Body
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		http.Error(w, "the message is too large or ends too early", http.StatusBadRequest)
		return
	}
	line, message, _ := bytes.Cut(body, []byte{'\n'})
	var question gatewayconfig.ResolveRequest
	if err := gatewayconfig.Decode(line, &question); err != nil || question.Server == "" || len(message) == 0 {
		http.Error(w, "want a question in one line, and a message", http.StatusBadRequest)
		return
	}
	v := b.view.Load()
	r, up, _, ok := b.tokenForFilter(w, r, v, question)
	if !ok {
		return
	}
	in, header := upstream.Session{Version: mcp.Revision20260728}, http.Header(nil)
	if question.Bare {
		header = headersIn(question, mcp.HeaderParamPrefix)
	} else {
		backend, ok := b.openForFilter(w, r, up, question)
		if !ok {
			return
		}
		in = upstream.Session(backend)
	}
	// Here the filter's leaving ends it, as it does for a call that it forwards.
	ctx, cancel := context.WithTimeoutCause(r.Context(), v.callTimeout(question.Server), errors.New("the call takes too long"))
	defer cancel()
	got, err := up.Exchange(ctx, in, message, header)
	switch {
	case upstream.IsUnauthorized(err):
		b.log.Warn("server refuses the credentials of the gateway", zap.String("server", question.Server))
		http.Error(w, "the server refuses the credential", http.StatusUnauthorized)
	case err != nil:
		b.log.Warn("server does not answer what was sent again", zap.String("server", question.Server), zap.Error(err))
		http.Error(w, "the server does not answer", http.StatusBadGateway)
	case got.Type == "":
		w.WriteHeader(http.StatusAccepted)
	default:
		why := "server had forgotten a session, a call was sent again in a new one"
		if question.Refused != "" {
			why = "server had refused a token, a call was sent again with another"
		}
		b.log.Info(why, zap.String("server", question.Server))
		w.Header().Set("Content-Type", got.Type)
		w.Header().Set("Content-Length", strconv.Itoa(len(got.Body)))
		_, _ = w.Write(got.Body)
	}
}

// callTimeout bounds a call of a server.
func (v *view) callTimeout(server string) time.Duration {
	return cmp.Or(v.limit(server), longestReplay)
}

// limit is the time that a call of a server may take; 0 for any.
func (v *view) limit(server string) time.Duration {
	for _, s := range v.config.Servers {
		if s.Name == server {
			return max(0, time.Duration(s.CallTimeout))
		}
	}
	return 0
}

// openForFilter returns a backend session at the server that the filter asks about;
// ok is false if there is none and that was answered. It opens one
// to its end, even if the filter gives up meanwhile: the next call finds it,
// however slow the server is to begin one.
func (b *Broker) openForFilter(w http.ResponseWriter, r *http.Request, up *upstream.Server, question gatewayconfig.ResolveRequest) (backend session.Backend, ok bool) {
	if modernOnly(up.Snapshot()) { // the filter's table is older
		http.Error(w, "the server has no sessions", http.StatusConflict)
		return backend, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), turnPatience+openLease)
	defer cancel()
	backend, err := b.openBackend(ctx, up, question)
	switch {
	case err == nil:
		b.hub.used(session.ID(question.Session).Key(), credential.From(ctx))
		return backend, true
	case errors.Is(err, upstream.ErrNoSessions):
		http.Error(w, "the server has no sessions", http.StatusConflict)
	case errors.Is(err, session.ErrNotFound):
		http.Error(w, "no such client session", http.StatusNotFound)
	case errors.Is(err, session.ErrUnavailable):
		b.log.Warn("session store fails", zap.Error(err))
		http.Error(w, "the session store is away", http.StatusServiceUnavailable)
	case errors.Is(err, upstream.ErrBusy):
		b.metrics.Refused(limitOpenings)
		b.log.Warn("too many sessions are being opened at a server", zap.String("server", question.Server))
		http.Error(w, "too many sessions are being opened at the server", http.StatusTooManyRequests)
	default:
		b.log.Warn("server opens no session", zap.String("server", question.Server), zap.Error(err))
		http.Error(w, "the server opens no session", http.StatusBadGateway)
	}
	return backend, false
}
