// Package rescue has a panic end what it happens in, and not the process. What
// servers send is mostly read by goroutines that no HTTP server recovers.
package rescue

import (
	"errors"
	"runtime/debug"

	"go.uber.org/zap"
)

// ErrPanic is what a panic becomes. It does not tell with what was panicked.
var ErrPanic = errors.New("a panic of the gateway's own, see its log")

// From is to be deferred. It turns a panic into an error, and logs it with its
// stack. What was locked is to be released by defer, too.
func From(log *zap.Logger, err *error) {
	if v := recover(); v != nil {
		tell(log, v)
		*err = ErrPanic
	}
}

// Then is From for what has no error: f is called after a panic.
func Then(log *zap.Logger, f func()) {
	if v := recover(); v != nil {
		tell(log, v)
		f()
	}
}

func tell(log *zap.Logger, v any) {
	log.Error("panicked", zap.Any("panic", v), zap.ByteString("stack", debug.Stack()))
}
