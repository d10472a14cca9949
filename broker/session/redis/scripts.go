package redis

import (
	"context"
	"embed"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"mcp-gateway/broker/session"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// scripts are the steps of the contract.
type scripts struct {
	create, get, claim, renew, commit, abandon, drop     *goredis.Script
	end                                                  *goredis.Script
	backends, settings, setLevel, subscribe, unsubscribe *goredis.Script
	reserve                                              *goredis.Script
}

func newScripts() scripts {
	clock := luaSource("clock")
	prelude := clock + luaSource("prelude")
	load := func(name string) *goredis.Script {
		return goredis.NewScript(prelude + luaSource(name))
	}
	return scripts{
		create:  load("create"),
		get:     load("get"),
		claim:   load("claim"),
		renew:   load("renew"),
		commit:  load("commit"),
		abandon: load("abandon"),
		drop:    load("drop"),
		end:     load("end"),

		backends:    load("backends"),
		settings:    load("settings"),
		setLevel:    load("setlevel"),
		subscribe:   load("subscribe"),
		unsubscribe: load("unsubscribe"),

		reserve: goredis.NewScript(clock + luaSource("reserve")),
	}
}

// urgent reports whether a script is for who has a claim, which ends otherwise.
func (s *scripts) urgent(script *goredis.Script) bool {
	return script == s.renew || script == s.commit || script == s.abandon
}

func luaSource(name string) string {
	b, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // the file is part of the binary
	}
	return string(b)
}

// run runs a script on the session's keys and returns its reply; goredis.Nil is
// the error for a nil reply.
func (s *Store) run(ctx context.Context, script *goredis.Script, key session.Key, args ...any) *goredis.Cmd {
	member := key.String()
	bucket := s.bucket(key[0])
	all := make([]any, 0, 9)
	all = append(all, member, s.clock(), s.idleMillis, s.graceMillis, s.channel)
	all = append(all, args...)
	keys := []string{bucket + "s:" + member, bucket + "c:" + member, bucket + "x", bucket + "u:" + member}
	var got *goredis.Cmd
	err := s.ask(ctx, s.scripts.urgent(script), func(ctx context.Context) error {
		got = script.Run(ctx, s.client, keys, all...)
		return got.Err()
	})
	if got == nil { // it had no turn
		got = goredis.NewCmd(ctx)
		got.SetErr(err)
	}
	return got
}

// ask has f ask Redis once, when its turn has come, within the store's timeout.
func (s *Store) ask(ctx context.Context, urgent bool, f func(context.Context) error) error {
	return s.gate.pass(ctx, urgent, func() error {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		return f(ctx)
	})
}

// bucket starts the keys of all sessions whose key begins with b.
func (s *Store) bucket(b byte) string {
	const hex = "0123456789abcdef"
	return s.prefix + "{" + string([]byte{hex[b>>4], hex[b&15]}) + "}:"
}

// clock is the time in milliseconds, or empty for the script to ask the server.
func (s *Store) clock() string {
	if s.now == nil {
		return ""
	}
	return strconv.FormatInt(s.now().UnixMilli(), 10)
}
