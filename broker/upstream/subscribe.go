package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/sse"
)

// filter is what a subscription is about (2026-07-28, basic/patterns/
// subscriptions), in a request and in its acknowledgement.
type filter struct {
	Tools     bool     `json:"toolsListChanged,omitempty"`
	Prompts   bool     `json:"promptsListChanged,omitempty"`
	Resources bool     `json:"resourcesListChanged,omitempty"`
	URIs      []string `json:"resourceSubscriptions,omitempty"`
	TaskIDs   []string `json:"taskIds,omitempty"`
}

// filterOf asks for the changes of lists.
func filterOf(set kinds) filter {
	return filter{Tools: set&tools != 0, Prompts: set&prompts != 0, Resources: set&resources != 0}
}

// announced returns the lists in a raw filter.
func announced(raw []byte) (set kinds) {
	var f filter
	_ = json.Unmarshal(raw, &f) // what is not of the right type is not honoured
	for kind, there := range map[kinds]bool{tools: f.Tools, prompts: f.Prompts, resources: f.Resources} {
		if there {
			set |= kind
		}
	}
	return set
}

// subscriber hears what comes of a subscription. What it is given is valid
// during the call; an error ends the subscription.
type subscriber struct {
	// acknowledged is called first, with the raw filter that the server honours.
	acknowledged func(honoured []byte) error
	// notified is called for every other notification.
	notified func(method, message []byte) error
}

var (
	// errUnacknowledged says that a subscription does not begin as it must.
	errUnacknowledged = errors.New("the server does not acknowledge the subscription")
	// errSubscriptionOver says that the server has ended a subscription.
	errSubscriptionOver = errors.New("the server has ended the subscription")
)

// subscribe reads one stream of subscriptions/listen to its end, and returns why
// it has ended: ErrNoStream if the server does not know the method. meta is the
// raw params._meta.
func (l *link) subscribe(ctx context.Context, meta []byte, f filter, to subscriber) error {
	if f.empty() {
		return ErrNoStream
	}
	wanted, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode the filter: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(l.timeout, func() { cancel(fmt.Errorf("%w within %v", errUnacknowledged, l.timeout)) })
	defer slow.Stop()
	id := l.nextID()
	params := append(append([]byte(`{"notifications":`), wanted...), '}')
	resp, err := l.send(ctx, outgoing{
		verb: http.MethodPost, accept: typeBoth, body: request(id, mcp.MethodListen, withMeta(params, meta)),
	})
	if err != nil {
		return cause(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || mediaType(resp) != typeStream {
		_, err := l.refusal(ctx, resp, id)
		return cause(ctx, noStream(resp, err))
	}
	begun := false
	err = l.events(resp.Body, func(e sse.Event) error {
		var m jsonrpc.Message
		if !isMessage(e) || m.Scan(e.Data) != nil {
			return nil // the server's loss, not the stream's
		}
		method, _ := jsonrpc.Unquote(nil, m.Method.Of(e.Data))
		switch {
		case m.Kind == jsonrpc.Response && sameID(m.ID.Of(e.Data), id):
			if m.Error.Empty() {
				return errSubscriptionOver
			}
			return noStream(resp, decodeError(m.Error.Of(e.Data)))
		case m.Kind != jsonrpc.Notification:
			return nil // it may ask nothing here
		case string(method) == mcp.MethodNotifyCancelled:
			if sameID(m.Cancelled.Of(e.Data), id) {
				return errSubscriptionOver
			}
			return nil
		case string(method) == mcp.MethodNotifyAcknowledged:
			slow.Stop()
			begun = true
			return to.acknowledged(bytes.Clone(memberOf(m.Params.Of(e.Data), `"notifications"`)))
		case !begun:
			return errUnacknowledged
		}
		return to.notified(method, e.Data)
	})
	return cause(ctx, err)
}

// noStream makes ErrNoStream of why a subscription is refused, if that will stay
// so. An answer that is no stream, without an error, is such a refusal.
func noStream(resp *http.Response, err error) error {
	rpc, isError := errors.AsType[*rpcError](err)
	switch {
	case err == nil, isError && rpc.code == mcp.CodeMethodNotFound:
		return ErrNoStream
	case isError:
		return err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return ErrNoStream
	}
	return err
}

func (f *filter) empty() bool {
	return !f.Tools && !f.Prompts && !f.Resources && len(f.URIs) == 0 && len(f.TaskIDs) == 0
}

// memberOf returns a raw member of a raw object, nil if there is none. key is
// quoted.
func memberOf(object []byte, key string) (value []byte) {
	_ = jsonrpc.Members(object, func(k, v jsonrpc.Span) bool { // else it has none
		if string(k.Of(object)) == key {
			value = v.Of(object)
		}
		return true
	})
	return value
}
