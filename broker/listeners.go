package broker

import "context"

// listener is a subscription as seen from the rest of the broker: who hears of
// changes at an endpoint, without a session.
type listener struct {
	// endpoint names the view that it listens at.
	endpoint string
	// lists are those whose changes it is told of.
	lists   changes
	pending changes       // guarded by hub.mu
	wake    chan struct{} // holds a token while pending may not be empty
	// look holds a token while the view is newer than the one last looked at.
	look chan struct{}
	done chan struct{} // closed when the endpoint is gone
}

// EndSubscriptions ends all subscriptions, as long as their clients can be told,
// and takes no more. It waits until they are told, or ctx ends.
func (b *Broker) EndSubscriptions(ctx context.Context) {
	h := b.hub
	h.mu.Lock()
	h.noMore = true
	for l := range h.listeners {
		delete(h.listeners, l)
		close(l.done)
	}
	h.mu.Unlock()
	told := make(chan struct{})
	go func() { h.told.Wait(); close(told) }()
	select {
	case <-told:
	case <-ctx.Done():
	}
}

// EndStreams ends the event streams of sessions, and from then on each as soon as it
// begins. It waits until their clients are told, or ctx ends.
func (b *Broker) EndStreams(ctx context.Context) {
	ended := make(chan struct{})
	go func() { b.streams.end(b.hub.endAll); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Lasting is how many requests of clients are open that end with their client:
// event streams, of HTTP+SSE clients too, and subscriptions.
func (b *Broker) Lasting() int { return b.counts.count() + b.oldClients.Count() }

// endAll ends the streams that there are.
func (h *hub) endAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.streams {
		s.end()
	}
}

// listen takes in a listener; nil if there are to be no more.
func (h *hub) listen(endpoint string, lists changes) *listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.noMore {
		return nil
	}
	h.told.Add(1)
	l := &listener{
		endpoint: endpoint, lists: lists,
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1), done: make(chan struct{}),
	}
	h.listeners[l] = struct{}{}
	return l
}

// unlisten forgets a listener, whose client has been told all.
func (h *hub) unlisten(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
	h.told.Done()
}

// repeat tells listeners what servers have announced at their endpoints. Who may
// keep a list for a time has to hear it, even if the list is the same.
func (h *hub) repeat(at map[string]changes) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		l.add(at[l.endpoint])
	}
}

// tell tells a listener what has changed. Called under mu.
func (h *hub) tell(l *listener, at map[string]changes) {
	c, there := at[l.endpoint]
	if !there {
		delete(h.listeners, l)
		close(l.done)
		return
	}
	wakeUp(l.look)
	l.add(c)
}

// add adds to what a listener is to be told. Called under mu.
func (l *listener) add(c changes) {
	if c &= l.lists; c != 0 {
		l.pending |= c
		wakeUp(l.wake)
	}
}

// heard returns what a listener is to be told.
func (h *hub) heard(l *listener) changes {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := l.pending
	l.pending = 0
	return c
}
