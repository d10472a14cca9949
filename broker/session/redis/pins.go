package redis

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"mcp-gateway/broker/session/seal"
	"mcp-gateway/internal/pin"
)

const (
	// pinsTimeout bounds an operation on the pins of one server: thousands of
	// definitions take a while, and no client waits for them.
	pinsTimeout = 5 * time.Second
	// pinsAtOnce is how many entries one script takes.
	pinsAtOnce = 200
)

// Pins keeps what was trusted of servers, for all replicas: it is the Store of
// package integrity. For each server there is a hash of entries, sealed if there
// are keys, with a field for each kind that was trusted once. They have no TTL.
type Pins struct {
	client             goredis.UniversalClient
	prefix             string
	channel            string
	ring               *seal.Ring
	log                *zap.Logger
	first, put, reseal *goredis.Script
}

// NewPins returns Pins in the Redis at o.URL, with connections of their own. It
// does not connect. Close it after use.
func NewPins(o Options) (*Pins, error) {
	ring, err := seal.New(o.Keys...)
	if err != nil {
		return nil, fmt.Errorf("redis pins: %w", err)
	}
	client, err := connect(o, cmp.Or(o.Timeout, pinsTimeout))
	if err != nil {
		return nil, fmt.Errorf("redis pins: %w", err)
	}
	prefix := cmp.Or(o.Prefix, defaultPrefix)
	return &Pins{
		client: client, prefix: prefix, channel: prefix + "pins", ring: ring, log: cmp.Or(o.Log, zap.NewNop()),
		first: goredis.NewScript(luaSource("pinfirst")), put: goredis.NewScript(luaSource("pinput")), reseal: goredis.NewScript(luaSource("pinreseal")),
	}, nil
}

// Close ends all connections.
func (p *Pins) Close() error { return p.client.Close() }

func (p *Pins) key(server string) string { return p.prefix + "pins:" + server }

// pinned is an entry as it is stored. The field tells nothing of the name, which
// is in the sealed value and bound to the field.
type pinned struct {
	Kind  pin.Kind  `json:"kind"`
	Name  string    `json:"name"`
	Entry pin.Entry `json:"entry"`
}

func recordOfPins(server string) string { return "pins " + server }

// fieldTrusted is that of a kind that was trusted once.
func fieldTrusted(k pin.Kind) string { return "k:" + string(k) }

const fieldEntry = "e:"

func fieldPin(i pin.Item) string {
	sum := sha256.Sum256([]byte(string(i.Kind) + "\x00" + i.Name))
	return fieldEntry + hex.EncodeToString(sum[:16])
}

func (p *Pins) seal(server string, i pin.Item, e pin.Entry) (field, value string, err error) {
	text, err := json.Marshal(pinned{i.Kind, i.Name, e})
	if err != nil {
		return "", "", fmt.Errorf("redis pins: encode: %w", err)
	}
	field = fieldPin(i)
	return field, p.ring.Seal(recordOfPins(server), field, string(text)), nil
}

func (p *Pins) open(server, field, value string) (pin.Item, pin.Entry, error) {
	text, err := p.ring.Open(recordOfPins(server), field, value)
	if err != nil {
		return pin.Item{}, pin.Entry{}, err
	}
	var v pinned
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return pin.Item{}, pin.Entry{}, err
	}
	i := pin.Item{Kind: v.Kind, Name: v.Name}
	if fieldPin(i) != field {
		return pin.Item{}, pin.Entry{}, errors.New("in the place of another entry")
	}
	return i, v.Entry, nil
}

// Load returns the pins of a server. An entry that cannot be opened is not among
// them: its item counts as new. One that is sealed with another key than the first
// is sealed again, so that a key can be taken out.
func (p *Pins) Load(ctx context.Context, server string) (pin.Set, error) {
	all, err := p.client.HGetAll(ctx, p.key(server)).Result()
	if err != nil {
		return nil, failed(ctx, "load pins", err)
	}
	out := pin.Set{}
	var older []any
	var lost error
	for field, value := range all {
		if kind, ok := strings.CutPrefix(field, "k:"); ok && out[pin.Kind(kind)] == nil {
			out[pin.Kind(kind)] = map[string]pin.Entry{}
		}
		if !strings.HasPrefix(field, fieldEntry) {
			continue
		}
		i, e, err := p.open(server, field, value)
		if err != nil {
			lost = err
			continue
		}
		out.Put(i, e)
		if _, again, err := p.seal(server, i, e); err == nil && again != value {
			older = append(older, field, value, again)
		}
	}
	if lost != nil {
		p.log.Warn("what was trusted of the server cannot all be opened: the rest counts as new", zap.String("server", server), zap.Error(lost))
	}
	// What has no marker yet was not trusted as a whole.
	for kind := range out {
		if _, ok := all[fieldTrusted(kind)]; !ok {
			delete(out, kind)
		}
	}
	for len(older) > 0 {
		n := min(len(older), 3*pinsAtOnce)
		if err := p.reseal.Run(ctx, p.client, []string{p.key(server)}, older[:n]...).Err(); err != nil {
			p.log.Debug("pins cannot be sealed again", zap.Error(err))
			break
		}
		older = older[n:]
	}
	return out, nil
}

// First implements Store of package integrity.
func (p *Pins) First(ctx context.Context, server string, set pin.Set) error {
	for _, kind := range pin.Kinds {
		if !set.Has(kind) {
			continue
		}
		var pairs []any
		for name, e := range set[kind] {
			field, value, err := p.seal(server, pin.Item{Kind: kind, Name: name}, e)
			if err != nil {
				return err
			}
			pairs = append(pairs, field, value)
		}
		for last := false; !last; {
			n := min(len(pairs), 2*pinsAtOnce)
			last = n == len(pairs)
			mark := "0"
			if last {
				mark = "1"
			}
			args := append([]any{fieldTrusted(kind), mark, p.channel, server}, pairs[:n]...)
			if err := p.first.Run(ctx, p.client, []string{p.key(server)}, args...).Err(); err != nil {
				return failed(ctx, "trust first", err)
			}
			pairs = pairs[n:]
		}
	}
	return nil
}

// Put implements Store of package integrity.
func (p *Pins) Put(ctx context.Context, server string, entries map[pin.Item]pin.Entry) error {
	var pairs []any
	for i, e := range entries {
		field, value, err := p.seal(server, i, e)
		if err != nil {
			return err
		}
		pairs = append(pairs, field, value)
	}
	for len(pairs) > 0 {
		n := min(len(pairs), 2*pinsAtOnce)
		args := append([]any{p.channel, server}, pairs[:n]...)
		if err := p.put.Run(ctx, p.client, []string{p.key(server)}, args...).Err(); err != nil {
			return failed(ctx, "keep pins", err)
		}
		pairs = pairs[n:]
	}
	return nil
}

// Changes implements Store of package integrity by pub/sub. Each time the
// subscription is made anew any server's pins may have changed.
func (p *Pins) Changes(ctx context.Context) <-chan string {
	out := make(chan string)
	go func() {
		defer close(out)
		sub := p.client.Subscribe(ctx, p.channel) // connects, so not in the caller's time
		defer sub.Close()                         // of no interest: nobody listens any more
		in := sub.ChannelWithSubscriptions()
		for {
			var server string
			select {
			case m, ok := <-in:
				if !ok {
					return
				}
				if message, isMessage := m.(*goredis.Message); isMessage {
					server = message.Payload
				}
			case <-ctx.Done():
				return
			}
			select {
			case out <- server:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
