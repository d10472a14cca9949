package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// LogTo sends what the Redis client logs to log, instead of as plain lines to
// standard error. The client has one log for the whole process, so this is for
// mains. The level is debug: what concerns an operation is in its error too.
func LogTo(log *zap.Logger) { goredis.SetLogger(clientLog{log}) }

type clientLog struct{ log *zap.Logger }

// Printf implements the client's log.
func (l clientLog) Printf(_ context.Context, format string, v ...any) {
	if e := l.log.Check(zap.DebugLevel, "redis client"); e != nil {
		e.Write(zap.String("message", fmt.Sprintf(format, v...)))
	}
}
