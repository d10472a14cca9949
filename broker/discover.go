package broker

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// discover tells what the endpoint offers (2026-07-28, server/discover).
func (b *Broker) discover(c *call) {
	if !b.started(c) {
		c.failLater("the gateway is starting")
		return
	}
	if c.findEndpoint() {
		c.replyModern(c.greeting().discovered)
	}
}

// caching says how long and for whom a result may be kept (2026-07-28,
// server/utilities/caching).
type caching struct {
	TTLMs int64  `json:"ttlMs"`
	Scope string `json:"cacheScope"`
}

// cachingOf returns what holds for a result with a part of each server: the
// strictest of them. A server that has sessions only says nothing of it, and what
// is known of one that fails is old.
func cachingOf(servers []*upstream.Snapshot) caching {
	c := caching{Scope: "public"}
	for i, s := range servers {
		ttl := s.TTL.Milliseconds()
		if !s.Modern || s.State != upstream.Ready {
			ttl = 0
		}
		if i == 0 || ttl < c.TTLMs {
			c.TTLMs = ttl
		}
		if !s.Modern || s.Private {
			c.Scope = "private"
		}
	}
	return c
}

// resultMember stands between the id and the result of an answer.
const resultMember = `,"result":`

// resultHead is what every result of the gateway itself has.
type resultHead struct {
	ResultType string `json:"resultType"`
	caching
	Meta map[string]implementation `json:"_meta"`
}

func headOf(config gatewayconfig.Broker, servers []*upstream.Snapshot) resultHead {
	cached := cachingOf(servers)
	if config.Authorization != nil {
		cached.Scope = "private" // others may be shown another one
	}
	return resultHead{"complete", cached, map[string]implementation{mcp.MetaServerInfo: implementationOf(config)}}
}

// encodeDiscovered returns the answer to server/discover behind the id.
func encodeDiscovered(config gatewayconfig.Broker, o offers, servers []*upstream.Snapshot) []byte {
	declared := o.capabilities()
	declared.Extensions = extensionsOf(servers)
	encoded := mustEncode(struct {
		resultHead
		SupportedVersions []mcp.Revision `json:"supportedVersions"`
		Capabilities      capabilities   `json:"capabilities"`
		Instructions      string         `json:"instructions,omitempty"`
	}{headOf(config, servers), mcp.Supported(), declared, instructionsOf(config, servers)})
	return append(append([]byte(resultMember), encoded...), '}')
}

// encodeListed returns the beginning of the results of the list methods. A server
// that has no such list takes no part in it.
func encodeListed(config gatewayconfig.Broker, servers []*upstream.Snapshot) map[catalog.Kind][]byte {
	all := map[catalog.Kind][]byte{}
	for k := catalog.Tools; k <= catalog.Templates; k++ {
		parts := slices.DeleteFunc(slices.Clone(servers), func(s *upstream.Snapshot) bool { return !offered(s).Has(k) })
		encoded := mustEncode(headOf(config, parts))
		encoded[len(encoded)-1] = ',' // instead of the closing brace
		all[k] = append([]byte(resultMember), encoded...)
	}
	return all
}

// extensionUI identifies MCP Apps among extensions.
const extensionUI = "io.modelcontextprotocol/ui"

// extensionsOf returns the extensions that some server has and the gateway
// carries, by identifier: what their messages name is made to lead back to the
// server. A server without stateless revisions has no tasks that could be
// carried.
func extensionsOf(servers []*upstream.Snapshot) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, id := range []string{mcp.ExtensionTasks, extensionUI} {
		for _, s := range servers {
			settings := objectMember(objectMember(s.Capabilities, `"extensions"`), string(jsonrpc.AppendQuote(nil, []byte(id))))
			if settings == nil || id == mcp.ExtensionTasks && !s.Modern {
				continue
			}
			if before, ok := out[id]; ok {
				settings = shared(before, settings)
			}
			out[id] = settings
		}
	}
	return out
}

// shared returns what two settings objects have in common: a as it is if they
// are equal, else an object with the members that are.
func shared(a, b []byte) []byte {
	if reflect.DeepEqual(decoded(a), decoded(b)) {
		return a
	}
	common := []byte{'{'}
	_ = jsonrpc.Members(a, func(key, value jsonrpc.Span) bool {
		_ = jsonrpc.Members(b, func(otherKey, otherValue jsonrpc.Span) bool {
			same := bytes.Equal(key.Of(a), otherKey.Of(b)) && reflect.DeepEqual(decoded(value.Of(a)), decoded(otherValue.Of(b)))
			if same {
				if len(common) > 1 {
					common = append(common, ',')
				}
				common = append(append(append(common, key.Of(a)...), ':'), value.Of(a)...)
			}
			return !same
		})
		return true
	})
	return append(common, '}')
}

// decoded returns a JSON value, its numbers as they are spelled.
func decoded(raw []byte) any {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	_ = d.Decode(&v) // it was read before
	return v
}
