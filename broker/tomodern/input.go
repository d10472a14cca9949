package tomodern

import (
	"crypto/rand"
	"errors"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// mostInputs bounds what one answer of a server may require.
const mostInputs = 32

// Required is what a server requires before it answers (2026-07-28,
// basic/patterns/mrtr). Not both are empty.
type Required struct {
	Inputs []Input
	// State is the raw requestState, to be sent back as it is; nil for none.
	State []byte
}

// Input is one request of a server to its client.
type Input struct {
	Method      string
	key, params []byte // raw; params may be nil
}

// required reads a result of the type input_required.
func required(result []byte) (Required, error) {
	var r Required
	requests := present(result, "inputRequests")
	if state := present(result, "requestState"); state != nil {
		if state[0] != '"' {
			return r, errors.New("requestState is no string")
		}
		r.State = state
	}
	keys := map[string]bool{}
	var wrong error
	err := jsonrpc.Members(requests, func(k, v jsonrpc.Span) bool {
		key, request := k.Of(requests), v.Of(requests)
		switch {
		case keys[unquoted(key)]:
			wrong = errors.New("two input requests have one key")
		case len(r.Inputs) >= mostInputs:
			wrong = errors.New("too many inputs are required at once")
		}
		keys[unquoted(key)] = true
		r.Inputs = append(r.Inputs, Input{unquoted(member(request, "method")), key, present(request, "params")})
		return wrong == nil
	})
	switch {
	case wrong != nil:
		return r, wrong
	case requests != nil && err != nil:
		return r, errors.New("inputRequests is no object")
	case len(r.Inputs) == 0 && r.State == nil:
		return r, errors.New("neither inputs nor a state are in an answer that requires some")
	}
	return r, nil
}

// Request returns the request to the client under a raw id, on behalf of a server.
func (i Input) Request(id []byte, server string) []byte {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	out = append(out, `,"method":`...)
	out = jsonrpc.AppendQuote(out, []byte(i.Method))
	if params := i.forClient(server); params != nil {
		out = append(append(out, `,"params":`...), params...)
	}
	return append(out, '}')
}

// forClient returns the params. Elicitation by URL needs an id in 2025-11-25
// (client/elicitation, URL Mode), that a stateless server cannot refer to, and says
// who wants the URL opened.
func (i Input) forClient(server string) []byte {
	if i.Method != mcp.MethodElicit || unquoted(member(i.params, "mode")) != "url" {
		return i.params
	}
	out := without(fromserver.NameURL(i.params, server), "elicitationId")
	return append(appendMember(out[:len(out)-1], []byte(`"elicitationId"`), []byte(`"`+rand.Text()+`"`)), '}')
}

// Answer turns the client's response, message scanned as m, into what the server
// gets for it. A refusal of elicitation is its cancellation; for other kinds there
// is no form: then failure is the raw error, and the call has failed.
func (i Input) Answer(message []byte, m *jsonrpc.Message) (result, failure []byte) {
	switch {
	case m.Error.Empty():
		return m.Result.Of(message), nil
	case i.Method == mcp.MethodElicit:
		return []byte(`{"action":"cancel"}`), nil
	}
	return nil, m.Error.Of(message)
}

// Responses returns the raw inputResponses: results are in the order of the
// inputs. Nil for no inputs.
func (r Required) Responses(results [][]byte) []byte {
	if len(r.Inputs) == 0 {
		return nil
	}
	out := []byte{'{'}
	for i, input := range r.Inputs {
		out = appendMember(out, input.key, results[i])
	}
	return append(out, '}')
}

// present is member, and nil for null as well.
func present(object []byte, name string) []byte {
	if value := member(object, name); string(value) != "null" {
		return value
	}
	return nil
}

// without returns a copy of an object without members of these names.
func without(object []byte, names ...string) []byte {
	out := []byte{'{'}
	_ = jsonrpc.Members(object, func(k, v jsonrpc.Span) bool { // was scanned
		key := k.Of(object)
		for _, name := range names {
			if unquoted(key) == name {
				return true
			}
		}
		out = appendMember(out, key, v.Of(object))
		return true
	})
	return append(out, '}')
}
