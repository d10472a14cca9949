// Package redis keeps sessions in Redis, so that every replica of the broker
// serves every session and none is lost with a replica. Redis 7.0 and later:
// a single server, one that Sentinels name, or a cluster.
//
// A session is a hash plus a string with the client's own description, both
// with a TTL; prelude.lua has the layout. Each step of the contract is one Lua
// script, hence atomic. Sessions fall into 256 buckets by the first byte of
// their key; the bucket is the hash tag of all keys of a session and of the
// sorted set that lists the bucket by deadline. So a script finds everything in
// one slot of a cluster, and the list never disagrees with the sessions.
package redis

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"mcp-gateway/broker/session"
	"mcp-gateway/broker/session/seal"
	"mcp-gateway/internal/redisaddr"
)

const (
	// defaultTimeout leaves a margin to the second that session.Store grants.
	defaultTimeout = 700 * time.Millisecond

	// grace is how long a record outlives its session, for Expired to hand out
	// its backend sessions although all brokers were down for a while.
	grace = time.Hour

	defaultPrefix = "mcp:"
)

// Options configure a Store.
type Options struct {
	session.Timeouts
	// URL is the address, as redisaddr.Parse reads it.
	URL string
	// Username and Password are those of an ACL user, in place of any in the URL;
	// the others those of the Sentinels, which have users of their own.
	Username, Password                 string
	SentinelUsername, SentinelPassword string
	// TLS counts where the URL asks for it.
	TLS redisaddr.TLS
	// Prefix starts every key and channel; empty means "mcp:". No braces.
	Prefix string
	// Timeout bounds every operation, with its retry but without the wait for its
	// turn while Redis answers others; zero means 700 ms. More than that breaks the contract of
	// session.Store, which may be right for a Redis far away.
	Timeout time.Duration
	// Keys seal what is in Redis: the first seals, all open. None leaves it
	// readable. Secrets.
	Keys []string
	// Now is the clock; nil means that of the Redis server, which all replicas
	// share.
	Now func() time.Time
	// Log gets what an operator should know of the Redis; nil means nobody does.
	Log *zap.Logger
}

// Store implements session.Store.
type Store struct {
	client   goredis.UniversalClient
	scripts  scripts
	gate     *gate
	timeouts session.Timeouts
	timeout  time.Duration
	prefix   string
	channel  string
	// cluster: PUBLISH counts the receivers at one node only.
	cluster bool
	now     func() time.Time
	log     *zap.Logger
	ring    *seal.Ring
	// unreadable paces the log: Unix time in seconds of its last line.
	unreadable atomic.Int64

	stop    context.CancelFunc // ends what runs beside the calls
	running sync.WaitGroup

	idleMillis, graceMillis string // arguments of every script
}

var _ session.Store = (*Store)(nil)

// New returns a store on the Redis at o.URL. It does not connect: a broker
// starts while Redis is away. Close it after use.
func New(o Options) (*Store, error) {
	if err := o.Timeouts.Validate(); err != nil {
		return nil, fmt.Errorf("redis session store: %w", err)
	}
	prefix := cmp.Or(o.Prefix, defaultPrefix)
	if strings.ContainsAny(prefix, "{}") {
		return nil, fmt.Errorf("redis session store: prefix %q: no braces allowed, they mark the hash slot", prefix)
	}
	timeout := cmp.Or(o.Timeout, defaultTimeout)
	ring, err := seal.New(o.Keys...)
	if err != nil {
		return nil, fmt.Errorf("redis session store: %w", err)
	}
	client, err := connect(o, timeout)
	if err != nil {
		return nil, fmt.Errorf("redis session store: %w", err)
	}
	_, cluster := client.(*goredis.ClusterClient)
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		client:      client,
		cluster:     cluster,
		scripts:     newScripts(),
		gate:        newGate(poolSize(client), timeout),
		timeouts:    o.Timeouts,
		timeout:     timeout,
		prefix:      prefix,
		channel:     prefix + "invalidations",
		now:         o.Now,
		log:         cmp.Or(o.Log, zap.NewNop()),
		ring:        ring,
		stop:        stop,
		idleMillis:  millis(o.Idle),
		graceMillis: millis(grace),
	}
	if o.TLS.SkipVerify {
		s.log.Warn("no certificate of Redis is looked at (skipVerify): whoever is on the way can read and change every session")
	}
	s.running.Go(func() { s.inspect(ctx) })
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() error {
	s.stop()
	err := s.client.Close()
	s.running.Wait()
	return err
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
