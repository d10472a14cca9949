package broker

import "mcp-gateway/internal/fromserver"

// fromServer appends a message of a server as the client may see it.
func fromServer(dst, message []byte, server, label string) []byte {
	return fromserver.Rewrite(dst, message, server, label)
}
