package redis

import (
	"context"
	"fmt"

	"mcp-gateway/broker/session"
)

// failed turns an error of the client into one of the contract's.
func failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("redis session store: %s: %w", op, ctx.Err())
	}
	return fmt.Errorf("redis session store: %s: %w: %w", op, session.ErrUnavailable, err)
}
