package mcp

import (
	"bytes"
	"strconv"
)

// LostSession reports whether a server refuses a request because it does not
// know the session. That is what 404 says (2025-11-25, basic/transports, Session
// Management); servers made after the examples of several SDKs say 400 instead,
// with words about the session. body is the answer's, or its beginning; answered
// tells that it is a JSON-RPC response to this very request, which may be about
// something else that was not found. A server that has been replaced by one of
// stateless revisions only says in that response that it does not speak the
// session's (2026-07-28, basic/index, Error Codes).
func LostSession(status int, body []byte, answered bool) bool {
	begin := body[:min(len(body), LongestRefusal)]
	words := bytes.Contains(bytes.ToLower(begin), []byte("session"))
	switch status {
	case 404:
		return !answered || words
	case 400:
		return !answered && words || bytes.Contains(begin, unsupported)
	}
	return false
}

// unsupported is CodeUnsupportedVersion, which no revision with sessions has.
var unsupported = []byte(strconv.Itoa(CodeUnsupportedVersion))

// LongestRefusal is how much of a body LostSession looks at, in bytes.
const LongestRefusal = 4 << 10
