package ferry

import (
	"time"

	"mcp-gateway/broker/requeststate"
	"mcp-gateway/broker/tolegacy"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// take gives the call to a caller, whose leaving ends it.
func (x *crossing) take(k *Caller) {
	x.caller = k
	if k.By != nil {
		x.by.Store(k.By)
	}
	k.whenLeft(func() {
		x.mu.Lock()
		mine := x.caller == k
		if mine {
			x.caller = nil
		}
		x.mu.Unlock()
		if mine {
			x.cancel(errLeft)
		}
	})
}

// soon has the caller asked when nothing more has come for a while. Called under
// mu.
func (x *crossing) soon() {
	if x.gather == nil {
		x.gather = time.AfterFunc(gatherFor, x.askCaller)
		return
	}
	x.gather.Reset(gatherFor)
}

// askCaller answers the caller with what the server wants, and holds the call.
func (x *crossing) askCaller() {
	x.mu.Lock()
	k := x.caller
	if k != nil {
		x.refuse(k)
	}
	if k == nil || len(x.pending) == 0 || x.answer != nil || x.ran {
		x.mu.Unlock()
		return
	}
	if !x.of.hold(x) {
		x.mu.Unlock()
		x.cancel(errHeld)
		return
	}
	x.caller = nil
	x.round++
	x.expiry = time.AfterFunc(heldFor, x.expire)
	message := tolegacy.Required(k.ID, x.pending, x.of.o.Sealer.Seal(requeststate.State{
		Instance: x.of.o.Instance, Call: x.id, Round: x.round, Expires: time.Now().Add(heldFor).Unix(),
	}, x.Binding), x.Server)
	x.mu.Unlock()
	k.end(Message{Bytes: message, Last: true})
}

// refuse takes out what the server waits for and the caller does not offer: each
// request tells anew what a client can be asked (2026-07-28, basic/patterns/mrtr).
// Called under mu.
func (x *crossing) refuse(k *Caller) {
	lease, offered := x.lease, x.pending[:0:0]
	for _, in := range x.pending {
		code, why := in.Declared(k.Capabilities)
		if code == 0 {
			offered = append(offered, in)
			continue
		}
		refusal := jsonrpc.AppendError(nil, in.ID, code, why, nil)
		x.of.apart(func() { _ = x.tell(lease, refusal) })
	}
	x.pending = offered
}

// expire ends a call that nobody has brought its input.
func (x *crossing) expire() {
	x.cancel(errExpired)
	x.mu.Lock()
	ran := x.ran
	x.mu.Unlock()
	if ran {
		x.conclude(true)
	}
}

// resume gives the call the input that a caller brings. What is missing is asked
// for again.
func (x *crossing) resume(k *Caller, round int, responses []byte) {
	x.mu.Lock()
	if x.expiry == nil || x.round != round {
		x.mu.Unlock()
		k.end(Message{Bytes: misfit(k, elsewhen), Last: true})
		return
	}
	given, err := tolegacy.Take(x.pending, responses)
	if err != nil {
		x.mu.Unlock()
		k.end(Message{Bytes: misfit(k, err.Error()), Last: true})
		return
	}
	x.unhold()
	var brought, missing []tolegacy.Input
	for _, in := range x.pending {
		if given[in.Key] != nil {
			brought = append(brought, in)
		} else {
			missing = append(missing, in)
		}
	}
	x.pending = missing
	x.take(k)
	lease, backlog, over := x.lease, x.backlog, x.ran
	x.backlog = nil
	if len(missing) > 0 {
		x.soon()
	}
	x.mu.Unlock()
	for _, message := range backlog {
		x.pass(k, message, false)
	}
	if over {
		x.conclude(false)
		return
	}
	_ = x.setLevel(lease, k.Level) // if it fails, so does what follows
	for _, in := range brought {
		if x.tell(lease, in.Answer(given[in.Key])) != nil {
			x.cancel(errTold)
			return
		}
	}
}

// unhold ends the waiting for input. Called under mu.
func (x *crossing) unhold() {
	if x.expiry != nil {
		x.expiry.Stop()
		x.expiry = nil
		x.of.unhold(x)
	}
}

// conclude hands the end of the call to its caller. A held call keeps it for who
// brings the input, unless that is not to be waited for.
func (x *crossing) conclude(abandoned bool) {
	x.mu.Lock()
	k := x.caller
	if k == nil && x.expiry != nil && !abandoned {
		x.mu.Unlock()
		return
	}
	x.caller = nil
	x.unhold()
	x.stopTimers()
	x.mu.Unlock()
	x.of.forget(x)
	x.cancel(nil)
	if k != nil {
		k.end(x.final(k))
	}
}

func (x *crossing) stopTimers() {
	if x.gather != nil {
		x.gather.Stop()
	}
	if x.deadline != nil {
		x.deadline.Stop()
	}
}

// final returns the response for a caller.
func (x *crossing) final(k *Caller) Message {
	if x.answer == nil {
		return Message{Bytes: refusal(k, x.failure), Last: true}
	}
	var m jsonrpc.Message
	if !x.Sessions && m.Scan(x.answer) == nil && tolegacy.Code(m.Error.Of(x.answer)) == mcp.CodeURLElicitation {
		return x.visit(k, m.Error.Of(x.answer))
	}
	out, ok := tolegacy.Response(x.answer, tolegacy.Answered{ID: k.ID, Method: x.Method, URI: x.Binding.Target, Sessions: x.Sessions, Label: x.Label})
	if !ok {
		out = refusal(k, "server "+x.Server+" answers in a form that cannot be passed on")
	}
	return Message{Bytes: out, Last: true}
}

// visit answers for an error that wants the user to open URLs first: with that
// wish. Nothing waits; when the user has agreed the call is made anew.
func (x *crossing) visit(k *Caller, raw []byte) Message {
	inputs, ok := tolegacy.URLs(raw)
	if !ok || !tolegacy.Asks(x.Method) {
		return Message{Bytes: refusal(k, "server "+x.Server+" wants the user to open a URL, which cannot be passed on"), Last: true}
	}
	state := requeststate.State{Expires: time.Now().Add(heldFor).Unix()}
	for _, in := range inputs {
		if code, _ := in.Declared(k.Capabilities); code != 0 {
			return Message{Last: true, Status: 400, Bytes: jsonrpc.AppendError(nil, k.ID, mcp.CodeMissingCapability,
				"the user has to open a URL, which the client does not offer", []byte(`{"requiredCapabilities":{"elicitation":{"url":{}}}}`))}
		}
		state.Keys = append(state.Keys, in.Key)
	}
	return Message{Bytes: tolegacy.Required(k.ID, inputs, x.of.o.Sealer.Seal(state, x.Binding), x.Server), Last: true}
}
