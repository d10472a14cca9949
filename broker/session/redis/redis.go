// Package redis keeps sessions in Redis, so that every replica of the broker
// serves every session and none is lost with a replica. Redis 7.0 and later,
// a single server or a cluster.
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
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"mcp-gateway/broker/session"
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
	// URL is redis://user:password@host:6379/0, rediss:// for TLS, or
	// unix:///path. With a query parameter addr=host:port, given once or more,
	// the addresses are the seed nodes of a Redis Cluster. Pool sizes are set by
	// parameters too, as pool_size=50.
	URL string
	// Prefix starts every key and channel; empty means "mcp:". No braces.
	Prefix string
	// Timeout bounds every operation, with its retry and its wait for a
	// connection; zero means 700 ms. More than that breaks the contract of
	// session.Store, which may be right for a Redis far away.
	Timeout time.Duration
	// Now is the clock; nil means that of the Redis server, which all replicas
	// share.
	Now func() time.Time
}

// Store implements session.Store.
type Store struct {
	client   goredis.UniversalClient
	scripts  scripts
	timeouts session.Timeouts
	timeout  time.Duration
	prefix   string
	channel  string
	// cluster: PUBLISH counts the receivers at one node only.
	cluster bool
	now     func() time.Time

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
	client, err := connect(o.URL, timeout)
	if err != nil {
		return nil, fmt.Errorf("redis session store: %w", err)
	}
	_, cluster := client.(*goredis.ClusterClient)
	return &Store{
		client:      client,
		cluster:     cluster,
		scripts:     newScripts(),
		timeouts:    o.Timeouts,
		timeout:     timeout,
		prefix:      prefix,
		channel:     prefix + "invalidations",
		now:         o.Now,
		idleMillis:  millis(o.Idle),
		graceMillis: millis(grace),
	}, nil
}

// Close ends all connections.
func (s *Store) Close() error { return s.client.Close() }

// connect makes a client of one server or of a cluster. It tries twice within
// the timeout, which is safe: every script answers the same when it is run again.
func connect(rawURL string, timeout time.Duration) (goredis.UniversalClient, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("URL: %w", withoutURL(err))
	}
	// Upgrades announced by the server are a feature of newer servers.
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	if u.Query().Has("addr") {
		o, err := goredis.ParseClusterURL(rawURL)
		if err != nil {
			return nil, fmt.Errorf("URL: %w", withoutURL(err))
		}
		o.MaxRetries = cmp.Or(o.MaxRetries, 1)
		o.DialerRetries = cmp.Or(o.DialerRetries, 1)
		o.DialTimeout = cmp.Or(o.DialTimeout, timeout/2)
		o.ReadTimeout = cmp.Or(o.ReadTimeout, timeout/2)
		o.WriteTimeout = cmp.Or(o.WriteTimeout, timeout/2)
		o.PoolTimeout = cmp.Or(o.PoolTimeout, timeout)
		o.ContextTimeoutEnabled = true
		o.MaintNotificationsConfig = quiet
		return goredis.NewClusterClient(o), nil
	}
	o, err := goredis.ParseURL(rawURL)
	if err != nil {
		return nil, fmt.Errorf("URL: %w", withoutURL(err))
	}
	o.MaxRetries = cmp.Or(o.MaxRetries, 1)
	o.DialerRetries = cmp.Or(o.DialerRetries, 1)
	o.DialTimeout = cmp.Or(o.DialTimeout, timeout/2)
	o.ReadTimeout = cmp.Or(o.ReadTimeout, timeout/2)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, timeout/2)
	o.PoolTimeout = cmp.Or(o.PoolTimeout, timeout)
	o.ContextTimeoutEnabled = true
	o.MaintNotificationsConfig = quiet
	return goredis.NewClient(o), nil
}

// withoutURL strips the URL, and the password in it, from an error of net/url.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// failed turns an error of the client into one of the contract's.
func failed(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("redis session store: %s: %w", op, ctx.Err())
	}
	return fmt.Errorf("redis session store: %s: %w: %w", op, session.ErrUnavailable, err)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
