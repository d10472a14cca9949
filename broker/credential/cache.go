package credential

import (
	"container/list"
	"crypto/sha256"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// mostCallers bounds the tokens of callers that are kept for one server; of more
	// the one used least recently goes.
	mostCallers = 10_000
	// longestSubject bounds a caller's token in bytes.
	longestSubject = 16 << 10
)

// Names of RFC 8693 section 2.1 and 3.
const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// cache has a token for each caller, found by the caller's own token: who brings
// another one has to be seen anew by who exchanges it.
type cache struct {
	endpoint *endpoint
	log      *zap.Logger

	mu    sync.Mutex
	byKey map[[sha256.Size]byte]*list.Element
	// recent has the entries, the one used last in front.
	recent list.List
}

type entry struct {
	key [sha256.Size]byte
	*kept
}

func newCache(e *endpoint, log *zap.Logger) *cache {
	return &cache{endpoint: e, log: log, byKey: map[[sha256.Size]byte]*list.Element{}}
}

// of returns what is kept for a caller. The error is ErrNone.
func (c *cache) of(caller *Caller) (*kept, error) {
	if caller == nil || caller.Token == "" || len(caller.Token) > longestSubject {
		return nil, errNone(errNoCaller)
	}
	key := caller.digest()
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.byKey[key]; at != nil {
		c.recent.MoveToFront(at)
		return at.Value.(entry).kept, nil
	}
	c.makeRoom()
	k := newKept(c.endpoint, url.Values{
		"grant_type":           {grantExchange},
		"subject_token":        {caller.Token},
		"subject_token_type":   {typeAccessToken},
		"requested_token_type": {typeAccessToken},
	}, c.log)
	c.byKey[key] = c.recent.PushFront(entry{key, k})
	return k, nil
}

// makeRoom takes out what has expired behind, and one more if there are as many as
// may be. Called under mu.
func (c *cache) makeRoom() {
	now := time.Now()
	for at := c.recent.Back(); at != nil; at = c.recent.Back() {
		e := at.Value.(entry)
		if c.recent.Len() < mostCallers && !e.idle(now) {
			return
		}
		c.recent.Remove(at)
		delete(c.byKey, e.key)
	}
}
