package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"

	"mcp-gateway/broker/credential"
	"mcp-gateway/internal/gatewayconfig"
)

// FailureOf says what kind of failure a Snapshot's Err is.
func FailureOf(err error) gatewayconfig.Failure {
	if errors.Is(err, credential.ErrNone) {
		return gatewayconfig.FailureUnauthorized
	}
	if status, ok := errors.AsType[statusError](err); ok {
		switch {
		case status == http.StatusUnauthorized, status == http.StatusForbidden:
			return gatewayconfig.FailureUnauthorized
		case status == http.StatusNotFound, status >= http.StatusInternalServerError:
			return gatewayconfig.FailureUnreachable // of a proxy, or of no MCP server
		}
		return gatewayconfig.FailureProtocol
	}
	if _, ok := errors.AsType[unreachable](err); ok {
		return gatewayconfig.FailureUnreachable
	}
	for _, cut := range []error{context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, cut) {
			return gatewayconfig.FailureUnreachable
		}
	}
	return gatewayconfig.FailureProtocol
}
