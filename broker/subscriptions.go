package broker

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/principal"
)

// acknowledgeWithin is how long the acknowledgement of a subscription waits for
// those of the servers. Who subscribes expects to hear of what changes after a
// second.
const acknowledgeWithin = 500 * time.Millisecond

// listening is an open stream of subscriptions/listen (2026-07-28,
// basic/patterns/subscriptions).
type listening struct {
	broker   *Broker
	listener *listener
	client   modernCall
	// principal is call.principal of the request that opened it.
	principal string
	// who is the same for the rules about who may use what.
	who   *principal.Principal
	until until
	// id is that of the request that opened it, raw: it names the subscription.
	id []byte
	// events takes events as text. It has no buffer: a server's next message is
	// not read before the client has taken this one, and servers take turns.
	events  chan []byte
	running sync.WaitGroup // one for each part

	// parts are what the servers do for it, by their names; the handler's.
	parts map[string]*part

	mu sync.Mutex
	// acknowledged tells that wanted is not what the client asks for any more, but
	// what it was told to be honoured.
	acknowledged bool
	wanted       wanted
}

// listen serves subscriptions/listen until the client leaves. It carries the
// changes of the gateway's lists, and what servers say of resources and tasks.
// The filter stays; who tells of what is in it may change with the configuration.
func (b *Broker) listen(c *call) {
	if !b.begun(c) {
		return
	}
	w, err := wantedOf(c.msg.Params.Of(c.body))
	if err != nil {
		c.failModern(mcp.CodeInvalidParams, err.Error(), nil)
		return
	}
	if len(c.id) > largestKept {
		c.fail(http.StatusBadRequest, mcp.CodeInvalidRequest, "the id is too large to name a subscription")
		return
	}
	w.lists &= c.offers().lists()
	leave, met := b.counts.enter(c.view.limits, countedFor(c), false)
	if leave == nil {
		b.refuseStream(c, met)
		return
	}
	defer leave()
	l := b.hub.listen(c.endpoint, w.lists)
	if l == nil {
		c.failLater("the gateway is ending")
		return
	}
	defer b.hub.unlisten(l)
	// From here on no change is missed. The view may have changed before.
	if c.view = b.view.Load(); !c.findEndpoint() {
		return
	}
	s := &listening{
		broker: b, listener: l, wanted: w, id: bytes.Clone(c.id),
		events: make(chan []byte), parts: make(map[string]*part),
		principal: c.principal(), who: c.who, until: c.until(),
		client: modernCall{
			capabilities: bytes.Clone(c.modern.capabilities), clientInfo: bytes.Clone(c.modern.clientInfo),
		},
	}
	// The body is not to be held for as long as the stream is open.
	c.id, c.body, c.msg, c.modern = s.id, nil, jsonrpc.Message{}, &s.client

	ctx, cancel := context.WithCancel(c.r.Context())
	defer s.running.Wait()
	defer cancel()
	write := b.beginStream(c)
	s.follow(ctx, c.view)
	if write(nil) {
		s.settle(ctx)
	}
	if write(appendMessage(nil, s.acknowledge(c.view))) && s.serve(ctx, write) {
		write(appendMessage(nil, s.result(implementationOf(b.view.Load().config))))
	}
}

// serve writes what there is to tell until the stream ends; true if that is the
// gateway's doing.
func (s *listening) serve(ctx context.Context, write func(text []byte) bool) bool {
	tick := time.NewTicker(keepAliveEvery)
	defer tick.Stop()
	var gathered, looked <-chan time.Time // nil while there is nothing to tell, to look at
	for alive := true; alive; {
		select {
		case <-ctx.Done():
			return false
		case <-s.broker.life.Done():
			return true
		case <-s.listener.done:
			return true
		case text := <-s.events:
			alive = write(text)
		case <-s.listener.wake:
			if gathered == nil {
				gathered = time.After(gatherFor)
			}
		case <-gathered:
			gathered = nil
			if changed := s.broker.hub.heard(s.listener); changed != 0 {
				alive = write(s.changed(changed))
			}
		case <-s.listener.look:
			if looked == nil {
				looked = time.After(gatherFor)
			}
		case <-looked:
			looked = nil
			v := s.broker.view.Load()
			if !v.admits(s.who) {
				return true
			}
			s.follow(ctx, v)
		case <-tick.C:
			if s.until.over() {
				return true
			}
			alive = write(keepAlive)
		}
	}
	return false
}

// acknowledge returns the first message of the stream, which tells what is
// honoured, and keeps that.
func (s *listening) acknowledge(v *view) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown, g := v.catalog.View(s.listener.endpoint), v.groupOf(s.who)
	s.wanted.uris = slices.DeleteFunc(s.wanted.uris, func(uri string) bool {
		server, own, ok := shown.Resource(uri)
		return !ok || !mayFollow(g, s.listener.endpoint, server, uri, own) || !s.parts[server].honoursURI(own)
	})
	s.wanted.tasks = slices.DeleteFunc(s.wanted.tasks, func(id string) bool {
		t, ok := s.task(v, id)
		return !ok || !s.parts[t.server].honoursTask(t.own)
	})
	for name, p := range s.parts {
		if p.promise(); len(p.uris)+len(p.tasks) == 0 {
			p.cancel()
			delete(s.parts, name)
		}
	}
	s.acknowledged = true
	return slices.Concat(
		[]byte(`{"jsonrpc":"2.0","method":"`+mcp.MethodNotifyAcknowledged+`","params":{"_meta":`), subscriptionMeta(s.id),
		[]byte(`,"notifications":`), s.wanted.appendFilter(nil), []byte(`}}`),
	)
}

// changed returns the events of changed lists.
func (s *listening) changed(c changes) (text []byte) {
	for _, method := range c.methods() {
		text = appendMessage(text, slices.Concat(
			[]byte(`{"jsonrpc":"2.0","method":"`+method+`","params":{"_meta":`), subscriptionMeta(s.id), []byte(`}}`),
		))
	}
	return text
}

// result returns the last message of the stream: the answer to the request that
// opened it.
func (s *listening) result(info implementation) []byte {
	return slices.Concat(
		[]byte(`{"jsonrpc":"2.0","id":`), s.id,
		[]byte(`,"result":{"resultType":"complete","_meta":{"`+mcp.MetaServerInfo+`":`), mustEncode(info),
		[]byte(`,"`+mcp.MetaSubscriptionID+`":`), s.id, []byte(`}}}`),
	)
}
