package modern

import "mcp-gateway/internal/jsonrpc"

// Declares reports whether capabilities, a raw object of a client or a server,
// have the extension (2026-07-28, basic/versioning, Capabilities).
func Declares(capabilities []byte, extension string) bool {
	extensions, _ := member(capabilities, "extensions")
	_, ok := member(extensions, extension)
	return ok
}

// MissingExtension appends the data of a -32021 error that asks for an extension.
func MissingExtension(dst []byte, extension string) []byte {
	dst = append(dst, `{"requiredCapabilities":{"extensions":{`...)
	return append(jsonrpc.AppendQuote(dst, []byte(extension)), `:{}}}}`...)
}

// member returns a member of an object; false if it is none or has no such one.
func member(object []byte, name string) (value []byte, ok bool) {
	if len(object) == 0 || object[0] != '{' {
		return nil, false
	}
	err := jsonrpc.Members(object, func(key, at jsonrpc.Span) bool {
		k, isString := jsonrpc.Unquote(nil, key.Of(object))
		if isString && string(k) == name {
			value, ok = at.Of(object), true
		}
		return !ok
	})
	return value, ok && err == nil
}
