package mcp

import "bytes"

// LostSession reports whether a server refuses a request because it does not
// know the session. That is what 404 says (2025-11-25, basic/transports, Session
// Management); servers made after the examples of several SDKs say 400 instead,
// with words about the session. body is the answer's, or its beginning; answered
// tells that it is a JSON-RPC response to this very request, which may be about
// something else that was not found.
func LostSession(status int, body []byte, answered bool) bool {
	words := bytes.Contains(bytes.ToLower(body[:min(len(body), LongestRefusal)]), []byte("session"))
	switch status {
	case 404:
		return !answered || words
	case 400:
		return !answered && words
	}
	return false
}

// LongestRefusal is how much of a body LostSession looks at, in bytes.
const LongestRefusal = 4 << 10
