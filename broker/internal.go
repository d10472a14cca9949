package broker

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
)

// largestQuestion bounds the body of a ResolveRequest.
const largestQuestion = 128 << 10

// Internal returns the handler of the internal API: the filter's questions,
// health checks, and the status for operators. It must not be reachable for
// clients. Its errors are plain text.
func (b *Broker) Internal() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+gatewayconfig.PathTable, b.guarded(b.table))
	mux.HandleFunc("POST "+gatewayconfig.PathResolve, b.guarded(b.resolve))
	mux.HandleFunc("POST "+gatewayconfig.PathReplay, b.guarded(b.replay))
	mux.HandleFunc("GET /status", b.guarded(b.status))
	mux.HandleFunc("GET "+gatewayconfig.PathReport, b.guarded(b.report))
	mux.HandleFunc("GET "+gatewayconfig.PathIntegrity, b.guarded(b.definitions))
	mux.HandleFunc("POST "+gatewayconfig.PathApprove, b.guarded(b.approve))
	mux.HandleFunc("GET /metrics", b.guarded(b.metrics.Handler().ServeHTTP))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET "+gatewayconfig.PathReady, b.readyz)
	return mux
}

// guarded lets a request through that carries the secret, if there is one.
func (b *Broker) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !gatewayconfig.Admits(r.Header.Get("Authorization"), b.opts.Secret) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the internal API needs its secret", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

// table answers gatewayconfig.Table, or 304 to who has it.
func (b *Broker) table(w http.ResponseWriter, r *http.Request) {
	v := b.view.Load()
	if !v.configured {
		http.Error(w, "no configuration yet", http.StatusServiceUnavailable)
		return
	}
	if !b.isReady() && r.Header.Get("If-None-Match") != "" {
		// Of what this replica has not looked at yet the other replicas know: a
		// filter that has a table keeps it.
		http.Error(w, "not every server was tried yet", http.StatusServiceUnavailable)
		return
	}
	tag := `"` + v.catalog.Table().Version + `"`
	w.Header().Set("ETag", tag)
	if hasTag(r, tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := v.catalog.EncodedTable()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// hasTag reports whether If-None-Match names the tag (RFC 9110, section 13.1.2).
func hasTag(r *http.Request, tag string) bool {
	for item := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		item = strings.TrimPrefix(strings.TrimSpace(item), "W/")
		if item == tag || item == "*" {
			return true
		}
	}
	return false
}

// resolve answers gatewayconfig.ResolveRequest. The statuses are described at
// ResolveResponse.
func (b *Broker) resolve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestQuestion))
	if err != nil {
		http.Error(w, "the question is too large or ends too early", http.StatusBadRequest)
		return
	}
	var question gatewayconfig.ResolveRequest
	if err := gatewayconfig.Decode(body, &question); err != nil {
		http.Error(w, "the question is malformed: "+err.Error(), http.StatusBadRequest)
		return
	}
	if question.Server == "" {
		b.resolveClient(w, r, question)
		return
	}
	r, up, token, ok := b.tokenForFilter(w, r, b.view.Load(), question)
	if !ok {
		return
	}
	answer := gatewayconfig.ResolveResponse{Authorization: token.Authorization, AuthorizationTTLMillis: token.Good.Milliseconds()}
	if !question.Bare {
		backend, ok := b.openForFilter(w, r, up, question)
		if !ok {
			return
		}
		answer.Session, answer.Version, answer.TTLMillis = backend.ID, backend.Version, b.opts.SessionTTL.Milliseconds()
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, answer)
}

// tokenForFilter returns the server that the filter asks about, and what it is sent
// as Authorization for the caller, in whose name the returned request is; ok is
// false if there is none and that was answered.
func (b *Broker) tokenForFilter(w http.ResponseWriter, r *http.Request, v *view, question gatewayconfig.ResolveRequest) (named *http.Request, up *upstream.Server, token credential.Token, ok bool) {
	up = v.server(question.Endpoint, question.Server)
	if up == nil {
		http.Error(w, "no such server", http.StatusGone)
		return r, nil, token, false
	}
	if question.Cluster != "" && question.Cluster != up.Place() { // the filter's table is older, or this view
		http.Error(w, "the server is at another address", http.StatusMisdirectedRequest)
		return r, nil, token, false
	}
	by := &credential.Caller{Token: question.Token, Header: headersIn(question, "")}
	named = r.WithContext(credential.With(r.Context(), by))
	token, err := up.Token(named.Context(), question.Refused)
	if err != nil {
		b.log.Debug("no token for a call", zap.String("server", question.Server), zap.Error(err))
		http.Error(w, "there is no credential for the server", http.StatusFailedDependency)
		return named, nil, token, false
	}
	return named, up, token, true
}

// headersIn returns those headers of the client that a question has whose names begin
// with prefix, which is in lower case.
func headersIn(question gatewayconfig.ResolveRequest, prefix string) http.Header {
	out := make(http.Header, len(question.Headers))
	for name, values := range question.Headers {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		for _, value := range values {
			out.Add(name, string(value))
		}
	}
	return out
}

// resolveClient answers whether a client session exists.
func (b *Broker) resolveClient(w http.ResponseWriter, r *http.Request, q gatewayconfig.ResolveRequest) {
	client, err := b.store.Get(r.Context(), session.ID(q.Session))
	if err == nil && (client.Endpoint != q.Endpoint || !b.owns(q.Principal, client)) {
		err = session.ErrNotFound
	}
	switch {
	case errors.Is(err, session.ErrNotFound):
		http.Error(w, "no such client session", http.StatusNotFound)
	case err != nil:
		b.log.Warn("session store fails", zap.Error(err))
		http.Error(w, "the session store is away", http.StatusServiceUnavailable)
	default:
		writeJSON(w, http.StatusOK, gatewayconfig.ResolveResponse{
			Version: client.Version, TTLMillis: b.opts.SessionTTL.Milliseconds(),
		})
	}
}

func (b *Broker) readyz(w http.ResponseWriter, _ *http.Request) {
	if !b.isReady() {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer cannot be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
