package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

// failed turns an error of the client into one of the contract's.
func failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("redis session store: %s: %w", op, ctx.Err())
	}
	return fmt.Errorf("redis session store: %s: %w: %w", op, session.ErrUnavailable, err)
}

// full reports whether Redis has no memory for what was to be written. Whatever
// else keeps it from writing (READONLY, MISCONF, LOADING) passes by itself.
func full(err error) bool { return goredis.HasErrorPrefix(err, "OOM") }
