package fromserver

import "mcp-gateway/internal/jsonrpc"

// members calls f for each member of the object at span with its plain key and
// its value's place in the message. Values that are no object have no members.
func (r *rewriter) members(span jsonrpc.Span, f func(key string, value jsonrpc.Span) error) error {
	object := span.Of(r.message)
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	var inner error
	err := jsonrpc.Members(object, func(key, value jsonrpc.Span) bool {
		token := key.Of(object)
		inner = f(string(token[1:len(token)-1]), shift(value, span.Start))
		return inner == nil
	})
	if inner != nil {
		return inner
	}
	return err
}

// elements does the same for an array.
func (r *rewriter) elements(span jsonrpc.Span, f func(value jsonrpc.Span) error) error {
	array := span.Of(r.message)
	if len(array) == 0 || array[0] != '[' {
		return nil
	}
	var inner error
	err := jsonrpc.Elements(array, func(value jsonrpc.Span) bool {
		inner = f(shift(value, span.Start))
		return inner == nil
	})
	if inner != nil {
		return inner
	}
	return err
}

func shift(s jsonrpc.Span, by int) jsonrpc.Span {
	return jsonrpc.Span{Start: s.Start + by, End: s.End + by}
}
