package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// A server that takes a subscription no more, although the client was promised to
// be told, is asked again after pauses between these: it may be on its way to
// another version, or a proxy before it may have answered in its place.
const (
	resubscribeMin = 30 * time.Second
	resubscribeMax = 5 * time.Minute
)

// part is what one server does for a subscription.
type part struct {
	server string
	up     *upstream.Server
	label  string
	// modern tells how the server is asked: it may come to speak otherwise.
	modern bool
	cancel context.CancelFunc
	// settled is closed when the server has acknowledged or will not; settle does.
	settled chan struct{}
	settle  func()

	// What follows is guarded by listening.mu. uris and tasks are what is asked of
	// the server, as it knows them; once acknowledged what the client was promised.
	uris, tasks []string
	// opened tells that the server has acknowledged before the client was told, and
	// then what; over that it had refused by then.
	opened, over bool
	honoured     wanted
}

// honoursURI reports whether the client can rely on being told of a resource.
// Who has not answered in time will be asked until it does, if it has such a
// thing at all: the client is told then that something may have changed.
func (p *part) honoursURI(own string) bool {
	switch {
	case p == nil || p.over || !slices.Contains(p.uris, own):
		return false
	case p.opened:
		return slices.Contains(p.honoured.uris, own)
	}
	return p.up.Snapshot().Subscribe
}

// honoursTask is honoursURI for a task, of which nothing is told later.
func (p *part) honoursTask(own string) bool {
	return p != nil && !p.over && p.opened && slices.Contains(p.honoured.tasks, own)
}

// promise leaves of what is asked what is honoured.
func (p *part) promise() {
	no := func(honours func(own string) bool) func(string) bool {
		return func(own string) bool { return !honours(own) }
	}
	p.uris = slices.DeleteFunc(slices.Clone(p.uris), no(p.honoursURI))
	p.tasks = slices.DeleteFunc(slices.Clone(p.tasks), no(p.honoursTask))
}

// same reports whether p asks the same of the same server as other does.
func (p *part) same(other *part) bool {
	return p.up == other.up && p.modern == other.modern && p.label == other.label && slices.Equal(p.uris, other.uris) && slices.Equal(p.tasks, other.tasks)
}

// follow has the servers that own what is wanted, as the view has it, tell of it,
// and nobody else.
func (s *listening) follow(ctx context.Context, v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.wanted
	if len(want.uris)+len(want.tasks) == 0 {
		return
	}
	next := map[string]*part{}
	of := func(server string) *part {
		up := v.servers[server]
		if up == nil {
			return &part{} // which nobody runs
		}
		now := up.Snapshot()
		if !tells(now) {
			return &part{}
		}
		if next[server] == nil {
			next[server] = &part{server: server, up: up, modern: now.Modern, label: v.label(server)}
		}
		return next[server]
	}
	if shown := v.catalog.View(s.listener.endpoint); shown != nil {
		g := v.groupOf(s.who)
		for _, uri := range want.uris {
			if server, own, ok := shown.Resource(uri); ok && mayFollow(g, s.listener.endpoint, server, uri, own) {
				p := of(server)
				p.uris = append(p.uris, own)
			}
		}
		for _, id := range want.tasks {
			if t, ok := s.task(v, id); ok {
				p := of(t.server)
				p.tasks = append(p.tasks, t.own)
			}
		}
	}
	for name, p := range s.parts {
		if other := next[name]; other != nil && p.same(other) {
			delete(next, name)
			continue
		}
		p.cancel()
		delete(s.parts, name)
	}
	for name, p := range next {
		s.parts[name] = p
		s.start(ctx, p)
	}
}

// tells reports whether a server can be asked to tell of resources or tasks.
func tells(s *upstream.Snapshot) bool { return s.Modern || s.Legacy && s.Subscribe }

// start has a server tell of its part until that is cancelled. Called under mu.
func (s *listening) start(ctx context.Context, p *part) {
	ctx, p.cancel = context.WithCancel(ctx)
	p.settled = make(chan struct{})
	p.settle = sync.OnceFunc(func() { close(p.settled) })
	watching := upstream.Watching{
		URIs: p.uris, TaskIDs: p.tasks, Info: s.client.clientInfo, Capabilities: s.client.capabilities,
		Acknowledged: func(uris, tasks []string) { s.opened(ctx, p, wanted{uris: uris, tasks: tasks}) },
		Message:      func(message []byte) error { return s.relay(ctx, p, message) },
	}
	s.running.Go(func() {
		defer p.settle()
		again := backoff.Backoff{Min: resubscribeMin, Max: resubscribeMax}
		for {
			err := s.watch(ctx, p, watching)
			if ctx.Err() != nil {
				return
			}
			s.broker.log.Debug("server takes no subscription", zap.String("server", p.server), zap.Error(err))
			if !s.promised(p) || again.Wait(ctx) != nil {
				return
			}
		}
	})
}

// watch has the server tell until it refuses, or ctx ends.
func (s *listening) watch(ctx context.Context, p *part, w upstream.Watching) error {
	if p.modern {
		return p.up.Watch(ctx, w)
	}
	return s.broker.watchPooled(ctx, p.server, p.up, s.principal, w)
}

// promised reports whether the client relies on a part that the server has
// refused. If it was not told yet, it will not be promised.
func (s *listening) promised(p *part) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.over = !s.acknowledged
	return s.acknowledged
}

// settle waits until all servers have said what they honour, but not for long.
func (s *listening) settle(ctx context.Context) {
	late := time.NewTimer(acknowledgeWithin)
	defer late.Stop()
	for _, p := range s.parts {
		select {
		case <-p.settled:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// opened takes in that a server has acknowledged its part. If that is not in time
// for the client's acknowledgement, or not the first time, then something may have
// happened unheard: the client is told that its resources there may have changed.
func (s *listening) opened(ctx context.Context, p *part, honoured wanted) {
	s.mu.Lock()
	inTime := !s.acknowledged && !p.opened
	if inTime {
		p.opened, p.honoured = true, wanted{uris: slices.Clone(honoured.uris), tasks: slices.Clone(honoured.tasks)}
	}
	promised := slices.Clone(p.uris)
	s.mu.Unlock()
	p.settle()
	if inTime {
		return
	}
	for _, own := range promised {
		if slices.Contains(honoured.uris, own) && s.relay(ctx, p, updated(own)) != nil {
			return
		}
	}
}

// relay passes on what a server says.
func (s *listening) relay(ctx context.Context, p *part, message []byte) error {
	labels := fromserver.Labels{URI: p.label, Task: p.label}
	var m jsonrpc.Message
	if m.Scan(message) == nil && !m.TaskID.Empty() {
		own, _ := jsonrpc.Unquote(nil, m.TaskID.Of(message))
		labels.Owner = s.owner(p.server, s.toolOf(s.broker.view.Load(), p.server, string(own)))
	}
	labelled := labels.Append(nil, message)
	message, ok := tagged(labelled, s.id)
	if !ok {
		return nil
	}
	return s.tell(ctx, p, message)
}

// tell puts a message on the stream, unless it is about what the client did not
// ask for, or may not see any more. Its error is that of ctx.
func (s *listening) tell(ctx context.Context, p *part, message []byte) error {
	if !s.concerns(p, message) {
		return nil
	}
	select {
	case s.events <- appendMessage(nil, message):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// concerns reports whether the client is to get a message. A server may tell of
// what is part of a resource under a URI of its own.
func (s *listening) concerns(p *part, message []byte) bool {
	v := s.broker.view.Load()
	shown := v.catalog.View(s.listener.endpoint)
	var m jsonrpc.Message
	if shown == nil || m.Scan(message) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	g := v.groupOf(s.who)
	switch string(method) {
	case mcp.MethodNotifyResourceUpdated:
		uri, ok := jsonrpc.Unquote(nil, m.URI.Of(message))
		server, own, shows := shown.Resource(string(uri))
		return ok && shows && server == p.server && len(p.uris) > 0 && mayFollow(g, s.listener.endpoint, server, string(uri), own)
	case mcp.MethodNotifyTasks:
		id, ok := jsonrpc.Unquote(nil, m.TaskID.Of(message))
		t, shows := s.task(v, string(id))
		return ok && shows && t.server == p.server && slices.Contains(p.tasks, t.own)
	}
	return false
}
