package broker

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/legacy"
	"mcp-gateway/broker/metrics"
	"mcp-gateway/broker/session"
	"mcp-gateway/internal/mcp"
)

// newOldClients serves the clients of older forms for as long as b lives.
func newOldClients(b *Broker) *legacy.Clients {
	return legacy.New(legacy.Options{
		Log: b.log, Life: b.life, End: b.endHere, Transport: b.opts.Loop,
		Refused: func() { b.metrics.Refused(limitSSEClients) },
	})
}

// endHere ends a session without the endpoint.
func (b *Broker) endHere(ctx context.Context, id string) {
	held, err := b.store.Delete(ctx, session.ID(id))
	if err != nil && !errors.Is(err, session.ErrNotFound) {
		b.log.Warn("the session of an HTTP+SSE client stays until it expires", zap.Error(err))
	}
	if err == nil {
		b.metrics.SessionEnded(metrics.Deleted)
	}
	b.endBackends(held, credential.From(ctx))
}

// oldClient answers a request of an HTTP+SSE client; false if it is none.
func (b *Broker) oldClient(c *call) bool {
	return b.oldClients.Serve(c.w, c.r, legacy.Config{
		Principal: c.proven(),
		Endpoint:  c.view.config.Endpoint, SSEPath: c.view.config.SSEPath,
		BodyLimit: c.view.limits.Body, MaxStreams: c.view.limits.SSEClients,
	})
}

// proven is who the client is where that has to be proved, else empty.
func (c *call) proven() string {
	if c.who == nil {
		return ""
	}
	return c.who.ID()
}

// batch answers a batch. Its messages go through the endpoint that it was sent
// to.
func (b *Broker) batch(c *call) {
	header := mcp.Revision(c.r.Header.Get(mcp.HeaderProtocolVersion))
	if c.session.Version != mcp.Revision20250326 || header != "" && header != mcp.Revision20250326 {
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "batches are not part of this protocol version")
		return
	}
	endpoint, err := url.Parse(c.view.config.Endpoint)
	if err != nil || endpoint.Host == "" {
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "batches are not supported")
		return
	}
	endpoint.Path, endpoint.RawPath, endpoint.RawQuery = c.r.URL.Path, c.r.URL.RawPath, ""
	b.oldClients.Batch(c.w, c.r, legacy.Config{
		Principal: c.proven(), Endpoint: endpoint.String(), BodyLimit: c.view.limits.Body,
	}, c.body)
}
