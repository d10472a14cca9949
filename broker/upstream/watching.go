package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
	"mcp-gateway/broker/rescue"
	"mcp-gateway/internal/mcp"
)

// Watching is what a client wants to hear from a stateless server.
type Watching struct {
	// URIs and TaskIDs are the server's own.
	URIs, TaskIDs []string
	// Info and Capabilities are raw JSON objects: clientInfo, the gateway's own
	// if empty, and what is declared to the server, nothing if empty.
	Info, Capabilities json.RawMessage
	// Acknowledged is called whenever the subscription begins, with what the
	// server honours of it. What has happened between two of these is lost. Nil
	// for nobody who wants to know.
	Acknowledged func(uris, taskIDs []string)
	// Message is called with each notifications/resources/updated and
	// notifications/tasks, in order. Their subscriptionId is of the gateway's
	// subscription. A message is valid during the call, in which nothing more is
	// read. An error ends Watch.
	Message func(message []byte) error
}

// Watch keeps a subscription at a stateless server open (2026-07-28,
// basic/patterns/subscriptions): one that breaks or ends is opened again, with
// growing pauses. Announcements of changed lists become Changed. It returns
// ErrNoStream if the server knows no subscriptions, its error if it refuses this
// one for what it asks, the error of Message, or that of ctx.
func (s *Server) Watch(ctx context.Context, w Watching) (err error) {
	defer rescue.From(s.log, &err)
	info, capabilities := []byte(w.Info), []byte(w.Capabilities)
	if len(info) == 0 {
		info = s.info
	}
	if len(capabilities) == 0 {
		capabilities = none
	}
	l, meta := s.of(Session{Version: mcp.Revision20260728}), metaOf(info, capabilities)
	retry := backoff.Backoff{Min: s.timing.retryMin, Max: s.timing.retryMax}
	for {
		began := time.Now()
		err := l.subscribe(ctx, meta, filter{URIs: w.URIs, TaskIDs: w.TaskIDs}, subscriber{
			acknowledged: func(honoured []byte) error {
				var f filter
				_ = json.Unmarshal(honoured, &f) // what is not of the right type is not honoured
				if w.Acknowledged != nil {
					w.Acknowledged(f.URIs, f.TaskIDs)
				}
				return nil
			},
			notified: func(method, message []byte) error {
				switch string(method) {
				case mcp.MethodNotifyResourceUpdated, mcp.MethodNotifyTasks:
					if err := w.Message(message); err != nil {
						return errTaken{err}
					}
				default:
					if changedBy(method) != 0 {
						s.Changed()
					}
				}
				return nil
			},
		})
		taken, stopped := errors.AsType[errTaken](err)
		rpc, isError := errors.AsType[*rpcError](err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case stopped:
			return taken.error
		case errors.Is(err, ErrNoStream):
			return ErrNoStream
		case isError && (rpc.code == mcp.CodeInvalidParams || rpc.code == mcp.CodeMissingCapability):
			return err
		}
		if time.Since(began) > s.timing.retryMax {
			retry.Reset()
		}
		wait := retry.Next()
		s.log.Debug("subscription of a client has ended", zap.Error(err), zap.Duration("again", wait))
		if err := backoff.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}
