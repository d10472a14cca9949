package credential

import (
	"context"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"

	"mcp-gateway/broker/backoff"
)

const (
	// fetchTimeout bounds one request to a token endpoint.
	fetchTimeout = 10 * time.Second
	// pauseMin and pauseMax bound the pauses after one that has failed.
	pauseMin, pauseMax = 500 * time.Millisecond, 30 * time.Second
)

// kept is one token, renewed before it expires. Callers share one request.
type kept struct {
	endpoint *endpoint
	params   url.Values // of the request
	log      *zap.Logger
	made     time.Time

	mu     sync.Mutex
	now    issued        // zero for none
	flight chan struct{} // closed when the request under way is over; nil for none
	failed error         // of the last request, nil if it was well
	after  time.Time     // when the next may be made
	pause  backoff.Backoff
}

func newKept(e *endpoint, params url.Values, log *zap.Logger) *kept {
	return &kept{endpoint: e, params: params, log: log, made: time.Now(), pause: backoff.Backoff{Min: pauseMin, Max: pauseMax}}
}

// token returns the token, had anew if need be. As long as the pause after a
// failure lasts its error is the answer.
func (k *kept) token(ctx context.Context) (Token, error) {
	for first := true; ; first = false {
		k.mu.Lock()
		now := time.Now()
		good := k.now.authorization != "" && now.Before(k.now.ends)
		due := !good || !now.Before(k.now.renew)
		if due && k.flight == nil && !now.Before(k.after) && (first || k.failed == nil) {
			k.flight = make(chan struct{})
			go k.fetch()
		}
		if good {
			given := k.now.given(now)
			k.mu.Unlock()
			return given, nil
		}
		flight, failed := k.flight, k.failed
		k.mu.Unlock()
		if flight == nil {
			return Token{}, errNone(failed)
		}
		select {
		case <-flight:
		case <-ctx.Done():
			return Token{}, context.Cause(ctx)
		}
	}
}

// fetch makes the request, whoever waits for it.
func (k *kept) fetch() {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	next, err := k.endpoint.fetch(ctx, k.params)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.now, k.failed, k.after = next, nil, time.Time{}
		k.pause.Reset()
	} else {
		if k.failed == nil {
			k.log.Warn("no token for the server, it is tried again when one is needed", zap.Error(err))
		}
		k.failed, k.after = err, time.Now().Add(k.pause.Next())
	}
	close(k.flight)
	k.flight = nil
}

// drop forgets the token if it is this one; false if it was had only just now.
func (k *kept) drop(authorization string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now.authorization != authorization {
		return true // another one is there already, or will be
	}
	if time.Since(k.now.at) < young {
		return false
	}
	k.now = issued{}
	return true
}

// unusedAfter is how long what is kept may have no token yet.
const unusedAfter = time.Minute

// idle reports whether nothing would be lost with it.
func (k *kept) idle(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.flight == nil && !now.Before(k.now.ends) && !now.Before(k.after) && now.Sub(k.made) > unusedAfter
}
