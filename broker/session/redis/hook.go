package redis

import (
	"context"
	"errors"
	"net"

	goredis "github.com/redis/go-redis/v9"
)

// errNoMaster says that the Sentinels know no master by the name.
var errNoMaster = errors.New("the Sentinels know no master of that name")

// hook mends what the client does when a Redis goes.
type hook struct {
	// reload has a cluster's client ask who has which slots; nil for others.
	reload func(context.Context)
}

// DialHook implements goredis.Hook. The answer of a Sentinel that knows no master
// is the one of a key that is not there: of a step of the store it would say that
// there is no session.
func (h hook) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if errors.Is(err, goredis.Nil) {
			err = errNoMaster
		}
		return conn, err
	}
}

// ProcessHook implements goredis.Hook. The client asks who has the slots when a
// node sends it elsewhere, and from time to time, but not when a node is gone:
// another may have them by now.
func (h hook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		h.look(ctx, err)
		return err
	}
}

// ProcessPipelineHook implements goredis.Hook.
func (h hook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := next(ctx, cmds)
		h.look(ctx, err)
		return err
	}
}

// look has the slots looked up anew after an error that is no answer of a node.
func (h hook) look(ctx context.Context, err error) {
	if _, answer := errors.AsType[goredis.Error](err); err != nil && !answer && h.reload != nil {
		h.reload(ctx)
	}
}
