package broker

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

// A server without sessions is not told of a subscription. The session keeps it,
// and the client's event stream, in whichever replica that is, has the server
// tell what happens to its resources (2026-07-28, basic/patterns/subscriptions).

// mailLook is the kind of mail that tells that what a session listens to has
// changed: its key.
const mailLook = "look"

// keep keeps a subscription at a server without sessions, or drops it.
func (b *Broker) keep(c *call, up *upstream.Server, sub session.Subscription) {
	if !up.Snapshot().Subscribe {
		c.fail(http.StatusOK, mcp.CodeMethodNotFound, "server "+sub.Server+" offers no subscriptions")
		return
	}
	var err error
	if c.method == mcp.MethodResourcesSubscribe {
		_, err = b.store.Subscribe(c.r.Context(), c.session.ID, sub)
	} else {
		err = b.store.Unsubscribe(c.r.Context(), c.session.ID, sub)
	}
	if err != nil {
		b.failSubscribe(c, err)
		return
	}
	key := c.session.ID.Key()
	if _, err := b.mail.send(c.r.Context(), everybody, mailLook, []byte(key.String())); err != nil {
		b.log.Debug("another replica learns late of a subscription", zap.Error(err))
	}
	c.reply([]byte(`,"result":{}}`))
}

// lookAt handles mailLook.
func (b *Broker) lookAt(payload []byte) {
	if key, err := session.ParseKey(string(payload)); err == nil {
		b.hub.look(key)
	}
}

// observed is what a server without sessions is asked to tell for a stream.
type observed struct {
	up    *upstream.Server
	uris  []string
	leave context.CancelFunc
	// over: the server tells no more; asked again with the next look.
	over atomic.Bool
}

// observe has the servers without sessions tell what the session is subscribed to
// now.
func (m *merge) observe(ctx context.Context) error {
	v := m.broker.view.Load()
	want := make(map[string][]string)
	if v.hasModernOnly() {
		settings, err := m.broker.store.Settings(ctx, m.session.ID)
		if err != nil {
			return err
		}
		for _, s := range settings.Subscriptions {
			up := v.server(m.session.Endpoint, s.Server)
			if up != nil && modernOnly(up.Snapshot()) && m.follows(v, s.Server, s.URI) {
				want[s.Server] = append(want[s.Server], s.URI)
			}
		}
	}
	for _, name := range slices.Collect(maps.Keys(m.observed)) {
		if want[name] == nil {
			m.observed[name].leave()
			delete(m.observed, name)
		}
	}
	for name, uris := range want {
		slices.Sort(uris)
		up, before := v.server(m.session.Endpoint, name), m.observed[name]
		if before == nil || before.up != up || before.over.Load() || !slices.Equal(before.uris, uris) {
			m.observed[name] = m.watch(ctx, name, up, uris, before)
		}
	}
	return nil
}

// watch listens to one server. The one before is left when this one has begun, so
// that nothing is lost between them.
func (m *merge) watch(ctx context.Context, name string, up *upstream.Server, uris []string, before *observed) *observed {
	within, leave := context.WithCancel(ctx)
	o := &observed{up: up, uris: uris, leave: leave}
	marker := tag.NewMarker([]byte(m.session.ID), name)
	pass := func(message []byte) error {
		return m.pass(within, heldServer{name: name, up: up}, &marker, message, nil)
	}
	begun := func() {
		if before != nil {
			before.leave()
		}
	}
	first := true
	m.all.Go(func() {
		defer leave()
		defer begun()
		err := up.Watch(within, upstream.Watching{
			URIs: uris,
			Acknowledged: func(honoured, _ []string) {
				if first {
					first = false
					begun()
					return
				}
				// What has changed while nothing was heard, nobody knows.
				for _, uri := range honoured {
					_ = pass(updated(uri)) // fails with the stream
				}
			},
			Message: func(message []byte) error { return pass(untagged(message)) },
		})
		if within.Err() == nil && !errors.Is(err, context.Canceled) {
			m.broker.log.Debug("server tells nothing of its resources", zap.String("server", name), zap.Error(err))
			o.over.Store(true)
		}
	})
	return o
}

// updated returns the notification that a resource has changed.
func updated(uri string) []byte {
	return append(jsonrpc.AppendQuote([]byte(`{"jsonrpc":"2.0","method":"`+mcp.MethodNotifyResourceUpdated+`","params":{"uri":`), []byte(uri)), `}}`...)
}

// untagged takes the id of the gateway's subscription out of a notification: no
// client with a session knows it.
func untagged(message []byte) []byte {
	var m jsonrpc.Message
	if m.Scan(message) != nil || m.Meta.Empty() {
		return message
	}
	meta, out := m.Meta.Of(message), []byte{'{'}
	_ = jsonrpc.Members(meta, func(k, v jsonrpc.Span) bool { // was scanned
		if text, _ := jsonrpc.Unquote(nil, k.Of(meta)); string(text) != mcp.MetaSubscriptionID {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, k.Of(meta)...), ':'), v.Of(meta)...)
		}
		return true
	})
	return jsonrpc.ReplaceSpan(nil, message, m.Meta, append(out, '}'))
}
