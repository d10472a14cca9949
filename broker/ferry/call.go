package ferry

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/pool"
	"mcp-gateway/broker/tolegacy"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Why a call ends before its answer.
var (
	errLeft     = errors.New("the client has left")
	errTimeout  = errors.New("the call takes too long")
	errExpired  = errors.New("nobody has brought the input")
	errStopping = errors.New("the gateway is stopping")
	errTold     = errors.New("the input does not reach the server")
	errHeld     = errors.New("too many calls wait for input")
)

const (
	// mostInputs and mostInputBytes bound what a server asks for at once.
	mostInputs, mostInputBytes = 32, 1 << 20
	// mostBacklog and mostBacklogBytes bound the notifications that are kept while
	// nobody reads: the last of them.
	mostBacklog, mostBacklogBytes = 64, 1 << 20
)

// crossing is one call under way.
type crossing struct {
	of *Ferry
	Call
	id       string // of the request at the server; its progress token, too
	level    string // that the first request asked for
	ctx      context.Context
	cancel   context.CancelCauseFunc
	deadline *time.Timer // nil for none

	by atomic.Pointer[credential.Caller] // who came last

	mu     sync.Mutex
	lease  *pool.Lease // the one that the request was sent in
	caller *Caller     // nil while the call waits for input
	// pending is what the server waits for; asked counts what it has asked for.
	pending []tolegacy.Input
	asked   int
	round   int // of input
	gather  *time.Timer
	expiry  *time.Timer // while the call is held
	backlog [][]byte    // notifications for the next caller
	// ran tells that nothing more comes: answer is the response, or failure says
	// why there is none.
	ran     bool
	answer  []byte
	failure string
}

// run carries the call to its end, which is its answer, or that of its caller.
func (x *crossing) run() {
	err := x.converse()
	x.mu.Lock()
	x.ran = true
	if x.answer == nil {
		x.failure = x.explain(err)
	}
	cause := context.Cause(x.ctx)
	x.mu.Unlock()
	x.conclude(errors.Is(cause, errLeft) || errors.Is(cause, errExpired) || errors.Is(cause, errStopping))
}

// converse sends the request. One that met a forgotten session was not processed,
// and is sent once more in another.
func (x *crossing) converse() error {
	for first := true; ; first = false {
		lease, err := x.of.o.Pool.Lease(x.ctx, x.At, x.Session)
		if err != nil {
			return err
		}
		x.mu.Lock()
		x.lease = lease
		x.mu.Unlock()
		if err = x.setLevel(lease, x.level); err == nil {
			lease.Join(x.hear)
			err = x.At.Converse(x.ctx, lease.Session(), upstream.Conversation{Message: x.Message(x.id), Each: x.receive})
		}
		gone := errors.Is(err, upstream.ErrSessionGone)
		switch {
		case gone:
			lease.Lost()
		case x.ctx.Err() != nil:
			x.takeBack(lease)
		}
		lease.Release()
		if !gone || !first || x.ctx.Err() != nil {
			return err
		}
	}
}

// setLevel has the server log as the client wants it. A server that refuses logs
// as it does anyway; only a forgotten session is an error.
func (x *crossing) setLevel(lease *pool.Lease, level string) error {
	if level == "" || !x.Logging {
		return nil
	}
	err := lease.SetLevel(x.ctx, level)
	if err != nil && !errors.Is(err, upstream.ErrSessionGone) {
		x.of.o.Log.Debug("server does not take a log level", zap.String("server", x.Server), zap.Error(err))
		return nil
	}
	return err
}

// takeBack tells the server that nobody waits any more (2025-11-25,
// basic/utilities/cancellation), unless it has answered.
func (x *crossing) takeBack(lease *pool.Lease) {
	x.mu.Lock()
	answered := x.answer != nil
	x.mu.Unlock()
	if answered || x.of.life.Err() != nil { // then the session ends, too
		return
	}
	message := append([]byte(`{"jsonrpc":"2.0","method":"`+mcp.MethodNotifyCancelled+`","params":{"requestId":`), quoted(x.id)...)
	message = append(append(message, `,"reason":`...), quoted(context.Cause(x.ctx).Error())...)
	_ = x.tell(lease, append(message, "}}"...))
}

func quoted(s string) []byte { return jsonrpc.AppendQuote(nil, []byte(s)) }

// tell sends the server a message that has no answer, also at the call's end.
func (x *crossing) tell(lease *pool.Lease, message []byte) error {
	ctx, cancel := context.WithTimeout(credential.WithLatest(x.of.life, x.by.Load), tellTimeout)
	defer cancel()
	err := x.At.Tell(ctx, lease.Session(), message)
	if err != nil {
		x.of.o.Log.Debug("message does not reach the server", zap.String("server", x.Server), zap.Error(err))
	}
	return err
}

// explain says to a client why there is no answer, without an address. Called
// under mu.
func (x *crossing) explain(err error) string {
	if cause := context.Cause(x.ctx); cause != nil {
		err = cause
	}
	if !errors.Is(err, errLeft) && !errors.Is(err, errExpired) {
		x.of.o.Log.Warn("call of a client without a session fails", zap.String("server", x.Server), zap.Error(err))
	}
	server := "server " + x.Server
	switch {
	case errors.Is(err, errStopping), errors.Is(err, pool.ErrClosed):
		return stopping
	case errors.Is(err, errTimeout):
		return server + " does not answer in time"
	case errors.Is(err, errHeld):
		return "too many calls wait for input"
	case errors.Is(err, pool.ErrFull):
		return server + " has no free session: too many clients use it"
	case errors.Is(err, credential.ErrNone):
		return credential.Missing(x.Server)
	case upstream.IsUnauthorized(err):
		return server + " refused the gateway's credentials"
	case errors.Is(err, upstream.ErrSessionGone):
		return server + " has forgotten the session of the call"
	}
	if x.lease == nil {
		return server + " opens no session"
	}
	return server + " does not answer"
}

// receive takes a message of the answer, hear one that came on the session's own
// stream.
func (x *crossing) receive(message []byte) error {
	x.message(message, true)
	return nil
}

func (x *crossing) hear(message []byte) { x.message(message, false) }

func (x *crossing) message(message []byte, own bool) {
	var m jsonrpc.Message
	if m.Scan(message) != nil {
		return
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	switch {
	case m.Kind == jsonrpc.Response:
		x.mu.Lock()
		x.answer = bytes.Clone(message)
		x.mu.Unlock()
	case m.Kind == jsonrpc.Request:
		x.ask(&m, message)
	default:
		x.notified(&m, string(method), message, own)
	}
}

// notified takes a notification. To a client only those go that belong to its
// request (2026-07-28, basic/index, Notifications).
func (x *crossing) notified(m *jsonrpc.Message, method string, message []byte, own bool) {
	switch method {
	case mcp.MethodNotifyProgress:
		if text, _ := jsonrpc.Unquote(nil, m.Progress.Of(message)); string(text) != x.id {
			return
		}
	case mcp.MethodNotifyMessage:
		if !own {
			return
		}
	case mcp.MethodNotifyCancelled:
		x.drop(m.Cancelled.Of(message))
		return
	case mcp.MethodNotifyToolsChanged, mcp.MethodNotifyPromptsChanged, mcp.MethodNotifyResourceChanged:
		x.At.Changed()
		return
	case mcp.MethodNotifyResourceUpdated:
		x.mu.Lock()
		lease := x.lease
		x.mu.Unlock()
		lease.Updated(m.URI.Of(message), message)
		return
	default:
		return
	}
	x.mu.Lock()
	k := x.caller
	if k == nil {
		x.keep(message)
	}
	x.mu.Unlock()
	if k != nil {
		x.pass(k, message, own)
	}
}

// keep keeps a notification for the next caller. Called under mu.
func (x *crossing) keep(message []byte) {
	size := len(message)
	for _, other := range x.backlog {
		size += len(other)
	}
	for len(x.backlog) > 0 && (len(x.backlog) >= mostBacklog || size > mostBacklogBytes) {
		size -= len(x.backlog[0])
		x.backlog = x.backlog[1:]
	}
	if size <= mostBacklogBytes {
		x.backlog = append(x.backlog, bytes.Clone(message))
	}
}

// pass hands a notification to a caller who wants it.
func (x *crossing) pass(k *Caller, message []byte, patient bool) {
	var m jsonrpc.Message
	if m.Scan(message) != nil {
		return
	}
	if !m.Progress.Empty() {
		message = tolegacy.Progress(&m, message, x.id, k.Token)
	} else if level := mcp.Verbosity(tolegacy.Level(&m, message)); level < 0 || level > k.level {
		return
	} else {
		message = bytes.Clone(message)
	}
	if message != nil {
		k.say(message, patient)
	}
}

// ask takes a request of the server.
func (x *crossing) ask(m *jsonrpc.Message, message []byte) {
	in := tolegacy.ReadInput(m, message, "")
	lease, code, why := x.admit(in)
	if code != 0 {
		_ = x.tell(lease, jsonrpc.AppendError(nil, in.ID, code, why, nil))
	}
}

// admit has the caller asked for in, unless a code says that it cannot be.
func (x *crossing) admit(in tolegacy.Input) (lease *pool.Lease, code int, why string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	code, why = in.Declared([]byte(x.Session.Capabilities))
	if code == 0 && x.caller != nil { // else the next one may offer it
		code, why = in.Declared(x.caller.Capabilities)
	}
	size := len(in.Params)
	for _, other := range x.pending {
		size += len(other.Params)
	}
	switch {
	case !tolegacy.Asks(x.Method):
		code, why = mcp.CodeMethodNotFound, "nobody can be asked in this request"
	case code != 0:
	case x.answer != nil || x.ran:
		code, why = mcp.CodeInternalError, "the call is over"
	case len(x.pending) >= mostInputs || size > mostInputBytes:
		code, why = mcp.CodeInternalError, "this is too much to ask for at once"
	}
	if code == 0 {
		x.asked++
		in.Key = "input-" + strconv.Itoa(x.asked)
		x.pending = append(x.pending, in)
		if x.caller != nil {
			x.soon()
		}
	}
	return x.lease, code, why
}

// drop forgets a request that the server has taken back.
func (x *crossing) drop(id []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, in := range x.pending {
		if bytes.Equal(in.ID, id) {
			x.pending = append(x.pending[:i:i], x.pending[i+1:]...)
			return
		}
	}
}
