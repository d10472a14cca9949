package tolegacy

import (
	"bytes"
	"errors"
	"fmt"

	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// Input is one thing that a server asks for while it works on a call.
type Input struct {
	// Key names it to the client.
	Key string
	// ID is the raw id of the server's request; nil for what an error asks for.
	ID []byte
	// Method is of the server's request, Params its raw params.
	Method string
	Params []byte
}

// ReadInput returns what a server's request asks for, under a key. It copies.
func ReadInput(m *jsonrpc.Message, message []byte, key string) Input {
	return Input{
		Key: key, ID: bytes.Clone(m.ID.Of(message)),
		Method: text(m.Method.Of(message)), Params: withoutTask(m.Params.Of(message)),
	}
}

// withoutTask returns a copy of the params of an input request without what the
// stateless revisions do not know: the id of an elicitation, and tasks.
func withoutTask(params []byte) []byte {
	if !isObject(params) {
		return []byte("{}")
	}
	edits, _ := cut(membersOf(params, jsonrpc.Span{End: len(params)}), "elicitationId", "task")
	return apply(nil, params, edits)
}

// URLs returns what an error -32042 asks for (2025-11-25, client/elicitation, URL
// Elicitation Required Error). False if it names nothing.
func URLs(raw []byte) ([]Input, bool) {
	var out []Input
	list := get(get(raw, "data"), "elicitations")
	err := jsonrpc.Elements(list, func(value jsonrpc.Span) bool {
		params := value.Of(list)
		if text(get(params, "url")) == "" {
			return true
		}
		out = append(out, Input{
			Key: fmt.Sprintf("url-%d", len(out)+1), Method: mcp.MethodElicit, Params: withMode(withoutTask(params)),
		})
		return true
	})
	return out, err == nil && len(out) > 0
}

// withMode adds the mode, which tells a URL from a form.
func withMode(params []byte) []byte {
	if get(params, "mode") != nil {
		return params
	}
	return append([]byte(`{"mode":"url",`), params[1:]...)
}

// Declared returns nil if a client with the raw capabilities can be asked for the
// input, else the code and the words to refuse it with.
func (in Input) Declared(capabilities []byte) (code int, refusal string) {
	return fromserver.Refusal(capabilities, in.Method, in.Params)
}

// Check returns what is wrong with a raw response to the input: what the method's
// result must have is not there.
func (in Input) Check(response []byte) error {
	if !isObject(response) {
		return errors.New("it must be an object")
	}
	switch in.Method {
	case mcp.MethodElicit:
		switch text(get(response, "action")) {
		case "accept", "decline", "cancel":
			return nil
		}
		return errors.New("action must be accept, decline or cancel")
	case mcp.MethodRootsList:
		if roots := get(response, "roots"); len(roots) == 0 || roots[0] != '[' {
			return errors.New("roots must be an array")
		}
	case mcp.MethodCreateMessage:
		if get(response, "content") == nil || get(response, "role") == nil {
			return errors.New("role and content must be there")
		}
	}
	return nil
}

// Accepted reports whether the raw response to an elicitation agrees.
func Accepted(response []byte) bool { return text(get(response, "action")) == "accept" }

// Answer returns the JSON-RPC response that brings the server the input.
func (in Input) Answer(response []byte) []byte {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), in.ID...)
	out = append(append(out, `,"result":`...), response...)
	return append(out, '}')
}

// Take returns the responses to the inputs by their keys, of a raw inputResponses;
// what nobody asked for is left out. The error says which is malformed.
func Take(inputs []Input, responses []byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, in := range inputs {
		response := get(responses, in.Key)
		if response == nil {
			continue
		}
		if err := in.Check(response); err != nil {
			return nil, fmt.Errorf("inputResponses: %s: %w", in.Key, err)
		}
		out[in.Key] = response
	}
	return out, nil
}

// Get returns the raw response under a key; nil for none.
func Get(responses []byte, key string) []byte { return get(responses, key) }

// Required returns the response that asks the client for inputs (2026-07-28,
// basic/patterns/mrtr, InputRequiredResult), on behalf of a server. id is raw.
func Required(id []byte, inputs []Input, state, server string) []byte {
	out := append([]byte(`{"jsonrpc":"2.0","id":`), id...)
	out = append(out, `,"result":{"resultType":"input_required","inputRequests":{`...)
	for i, in := range inputs {
		if i > 0 {
			out = append(out, ',')
		}
		out = jsonrpc.AppendQuote(out, []byte(in.Key))
		out = append(jsonrpc.AppendQuote(append(out, `:{"method":`...), []byte(in.Method)), `,"params":`...)
		params := in.Params
		if in.Method == mcp.MethodElicit {
			params = fromserver.NameURL(params, server)
		}
		out = append(append(out, params...), '}')
	}
	out = append(out, `},"requestState":`...)
	return append(jsonrpc.AppendQuote(out, []byte(state)), "}}"...)
}
