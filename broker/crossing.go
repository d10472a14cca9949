package broker

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/credential"
	"mcp-gateway/broker/session"
	"mcp-gateway/broker/tomodern"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/tag"
)

const (
	// mostRounds bounds how often a server may require something before it
	// answers a call.
	mostRounds = 10
	// relistWithin is how long a call waits for the lists of a server that has
	// refused its headers: longer than the least time between two listings.
	relistWithin = 8 * time.Second
	// stateMin and stateMax bound the pauses before a call is repeated only
	// because the server wants so.
	stateMin, stateMax = 100 * time.Millisecond, 5 * time.Second
)

// Why a call ends before its server has answered.
var (
	errTakenBack    = errors.New("the client has taken the call back")
	errSessionEnded = errors.New("the client's session has ended")
	errTooLong      = errors.New("the call takes too long")
	errUnanswered   = errors.New("the client does not answer what it is asked")
	errLeft         = errors.New("the client has left and cannot be asked")
)

// crossing is a call of a client with a session at a stateless server.
type crossing struct {
	broker *Broker
	call   *call
	out    *answering
	key    session.Key
	id     string // the client's, see plainID
	server string
	up     *upstream.Server
	stop   context.CancelCauseFunc

	request  tomodern.Call
	declared tomodern.Declared
	level    string
	// header returns the headers that mirror arguments, as the lists of v want it.
	header func(v *view) map[string]string
	marker tag.Marker
	// heard is the server's response.
	heard []byte
}

// run makes the call and answers the client.
func (x *crossing) run(ctx context.Context) {
	var responses, state []byte
	mirrored, relisted := x.header(x.broker.view.Load()), false
	pause := backoff.Backoff{Min: stateMin, Max: stateMax}
	for round := 1; ; {
		answer, err := x.converse(ctx, x.request.Message(x.broker.crossings.next(), responses, state), mirrored)
		switch {
		case err != nil:
			x.failed(ctx, err)
			return
		case answer.Refused == mcp.CodeHeaderMismatch && !relisted:
			relisted = true // the call was not processed, so once more
			if next := x.relist(ctx, mirrored); next != nil {
				mirrored = *next
				continue
			}
			x.refused(answer.Refused)
			return
		case answer.Refused != 0:
			x.refused(answer.Refused)
			return
		case answer.Required == nil:
			x.pass(answer)
			return
		case round == mostRounds:
			x.fail("requires inputs again and again")
			return
		}
		round++
		var refused []byte
		if responses, refused, err = x.gather(ctx, answer.Required); err == nil && len(answer.Required.Inputs) == 0 {
			err = backoff.Sleep(ctx, pause.Next())
		}
		switch {
		case err != nil:
			x.failed(ctx, err)
			return
		case refused != nil:
			x.pass(tomodern.Answer{Error: refused})
			return
		}
		state = answer.Required.State
	}
}

// converse sends one request and reads the answer, of which the client gets the
// notifications at once.
func (x *crossing) converse(ctx context.Context, message []byte, mirrored map[string]string) (tomodern.Answer, error) {
	header := http.Header{}
	for name, value := range mirrored {
		header.Set(name, value)
	}
	x.heard = nil
	err := x.up.Converse(ctx, upstream.Session{Version: mcp.Revision20260728}, upstream.Conversation{
		Message: message, Header: header, Each: x.hear,
	})
	if err != nil {
		return tomodern.Answer{}, err
	}
	return tomodern.Read(x.call.method, x.heard)
}

// hear takes one message of the server. What does not belong to the call has no
// place in its answer.
func (x *crossing) hear(message []byte) error {
	var m jsonrpc.Message
	if m.Scan(message) != nil {
		return nil
	}
	method, _ := jsonrpc.Unquote(nil, m.Method.Of(message))
	switch {
	case m.Kind == jsonrpc.Response:
		x.heard = bytes.Clone(message)
		return nil
	case string(method) == mcp.MethodNotifyMessage && x.level != "":
	case string(method) == mcp.MethodNotifyProgress && x.isToken(m.Progress.Of(message)):
	default:
		return nil
	}
	x.out.message(fromserver.Rewrite(nil, message, &x.marker, x.call.view.label(x.server)))
	return nil
}

// isToken reports whether a token is the one that the client has given.
func (x *crossing) isToken(token []byte) bool {
	given := x.call.msg.ProgressToken.Of(x.call.body)
	return given != nil && token != nil && plainID(given) == plainID(token)
}

// relist has the server's lists read anew and returns the headers as they want
// it, nil if they are the same as before.
func (x *crossing) relist(ctx context.Context, before map[string]string) *map[string]string {
	x.up.Recheck()
	x.up.Changed() // for the case that they were read just now
	late := time.NewTimer(relistWithin)
	defer late.Stop()
	for {
		v := x.broker.view.Load()
		if now := x.header(v); !maps.Equal(now, before) {
			return &now
		}
		select {
		case <-v.replaced:
		case <-late.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// gather asks the client for what the server requires, and returns the raw
// inputResponses; or the raw error that the call ends with.
func (x *crossing) gather(ctx context.Context, r *tomodern.Required) (responses, refused []byte, err error) {
	for _, input := range r.Inputs {
		if lacks := x.declared.Lacks(input); lacks != "" {
			return nil, nil, errLacks(lacks)
		}
	}
	if len(r.Inputs) > 0 && x.out.left() {
		return nil, nil, errLeft
	}
	answers := make(chan clientAnswer, len(r.Inputs))
	ids := make([][]byte, len(r.Inputs)) // nil once it is answered
	for i, input := range r.Inputs {
		number, id := x.broker.crossings.ask(question{of: x, index: i, to: answers})
		defer x.broker.crossings.forget(number)
		ids[i] = x.marker.AppendToken(nil, id)
		x.out.message(input.Request(ids[i], x.server))
	}
	results := make([][]byte, len(r.Inputs))
	for range r.Inputs {
		select {
		case <-ctx.Done():
			x.withdraw(ids)
			if why := context.Cause(ctx); !errors.Is(why, errTooLong) {
				return nil, nil, why
			}
			return nil, nil, errUnanswered
		case a := <-answers:
			var m jsonrpc.Message
			if err := m.Scan(a.message); err != nil {
				x.withdraw(ids)
				return nil, nil, err // was scanned where it arrived
			}
			ids[a.index] = nil
			if results[a.index], refused = r.Inputs[a.index].Answer(a.message, &m); refused != nil {
				x.withdraw(ids)
				return nil, refused, nil
			}
		}
	}
	return r.Responses(results), nil, nil
}

// withdraw tells the client that questions need no answer any more.
func (x *crossing) withdraw(ids [][]byte) {
	for _, id := range ids {
		if id != nil {
			x.out.message(append(append([]byte(`{"jsonrpc":"2.0","method":"`+mcp.MethodNotifyCancelled+`","params":{"requestId":`), id...), `}}`...))
		}
	}
}

// errLacks says what the client would have to have declared.
type errLacks string

func (e errLacks) Error() string { return "the client has not declared " + string(e) }

// pass answers the client with what the server has answered.
func (x *crossing) pass(answer tomodern.Answer) {
	message := append([]byte(`{"jsonrpc":"2.0","id":`), x.call.id...)
	if answer.Error != nil {
		message = append(append(message, `,"error":`...), answer.Error...)
	} else {
		message = append(append(message, `,"result":`...), answer.Result...)
	}
	message = append(message, '}')
	x.out.response(fromserver.Rewrite(nil, message, &x.marker, x.call.view.label(x.server)))
}

// fail answers with an error that names the server.
func (x *crossing) fail(what string) {
	x.out.response(jsonrpc.AppendError(nil, x.call.id, mcp.CodeInternalError, "server "+x.server+" "+what, nil))
}

// refused answers for a code that a client with a session cannot know.
func (x *crossing) refused(code int) {
	x.broker.log.Warn("server refuses a call that was translated for it", zap.String("server", x.server), zap.String("method", x.call.method), zap.Int("code", code))
	switch code {
	case mcp.CodeMissingCapability:
		x.fail("requires a capability that the client does not have")
	case mcp.CodeUnsupportedVersion:
		x.up.Recheck()
		x.fail("does not speak the protocol version any more that it was asked in")
	default:
		x.fail("refuses the headers of the call")
	}
}

// failed answers for a call that has no answer.
func (x *crossing) failed(ctx context.Context, err error) {
	why := context.Cause(ctx)
	lacks, isLacks := errors.AsType[errLacks](err)
	switch {
	case errors.Is(why, errTakenBack), errors.Is(why, errSessionEnded):
		x.out.nothing()
	case errors.Is(err, errUnanswered):
		x.fail("asks for something that the client does not answer in time")
	case x.broker.life.Err() != nil:
		x.fail("has not answered yet, and the gateway is stopping")
	case errors.Is(why, errTooLong):
		x.fail("does not answer in time")
	case isLacks:
		x.fail("asks for " + string(lacks) + ", which the client has not declared")
	case errors.Is(err, errLeft):
		x.broker.log.Debug("client has left before its call was over", zap.String("server", x.server))
	case errors.Is(err, credential.ErrNone):
		x.out.response(jsonrpc.AppendError(nil, x.call.id, mcp.CodeInternalError, credential.Missing(x.server), nil))
	case upstream.IsUnauthorized(err):
		x.out.response(jsonrpc.AppendError(nil, x.call.id, mcp.CodeInternalError, "server "+x.server+" refused the gateway's credentials", nil))
	default:
		x.up.Recheck()
		x.broker.log.Warn("server does not answer", zap.String("server", x.server), zap.String("method", x.call.method), zap.Error(err))
		x.fail("does not answer as it should")
	}
}
