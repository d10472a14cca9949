package broker

import (
	"encoding/json"
	"slices"
	"strings"

	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/fromserver"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// offers are the capabilities of the gateway that depend on its servers: what
// any of them has, or may turn out to have.
type offers struct {
	prompts, resources, subscribe, logging, completions bool
	// experimental is raw, that of the only server: of several nobody could tell
	// whom a message concerns.
	experimental []byte
}

// offersOf returns what the servers of an endpoint offer; sole is the gateway's
// only server, if there is no other and it has no prefix, or nil.
func offersOf(servers []*upstream.Snapshot, sole *upstream.Snapshot) offers {
	var o offers
	for _, s := range servers {
		unknown := s.Version == ""
		o.prompts = o.prompts || s.Prompts || unknown
		o.resources = o.resources || s.Resources || unknown
		o.subscribe = o.subscribe || s.Subscribe || unknown
		o.logging = o.logging || s.Logging || unknown
		o.completions = o.completions || s.Completions || unknown
	}
	if sole != nil && slices.Contains(servers, sole) {
		o.experimental = objectMember(sole.Capabilities, `"experimental"`)
	}
	return o
}

// lists are those whose changes are announced: encodeHello declares it.
func (o offers) lists() changes {
	c := toolsChanged
	if o.prompts {
		c |= promptsChanged
	}
	if o.resources {
		c |= resourcesChanged
	}
	return c
}

// listing is the capability of one kind of list.
type listing struct {
	ListChanged bool `json:"listChanged"`
	Subscribe   bool `json:"subscribe,omitempty"`
}

// capabilities are the gateway's own.
type capabilities struct {
	Tools        *listing                   `json:"tools,omitempty"`
	Prompts      *listing                   `json:"prompts,omitempty"`
	Resources    *listing                   `json:"resources,omitempty"`
	Logging      json.RawMessage            `json:"logging,omitempty"`
	Completions  json.RawMessage            `json:"completions,omitempty"`
	Experimental json.RawMessage            `json:"experimental,omitempty"`
	Extensions   map[string]json.RawMessage `json:"extensions,omitempty"`
}

// capabilities returns what is declared for the offers. Tools are always among
// it, as any change of the configuration can bring some.
func (o offers) capabilities() capabilities {
	c := capabilities{Tools: &listing{ListChanged: true}, Experimental: o.experimental}
	if o.prompts {
		c.Prompts = &listing{ListChanged: true}
	}
	if o.resources {
		c.Resources = &listing{ListChanged: true, Subscribe: o.subscribe}
	}
	if o.logging {
		c.Logging = json.RawMessage("{}")
	}
	if o.completions {
		c.Completions = json.RawMessage("{}")
	}
	return c
}

// implementation is the gateway's serverInfo.
type implementation struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
}

func implementationOf(config gatewayconfig.Broker) implementation {
	return implementation{config.Name, config.Version, config.Description}
}

// instructionsOf returns the gateway's own instructions, and then those of the
// servers under their names.
func instructionsOf(config gatewayconfig.Broker, servers []*upstream.Snapshot) string {
	var texts []string
	if config.Instructions != "" {
		texts = append(texts, config.Instructions)
	}
	for i, s := range servers {
		if s.Instructions != "" {
			texts = append(texts, "## "+config.Servers[i].Name+"\n"+s.Instructions)
		}
	}
	return strings.Join(texts, "\n\n")
}

// encodeHello returns the end of the result of initialize.
func encodeHello(config gatewayconfig.Broker, o offers, servers []*upstream.Snapshot) []byte {
	encoded := mustEncode(struct {
		Capabilities capabilities   `json:"capabilities"`
		ServerInfo   implementation `json:"serverInfo"`
		Instructions string         `json:"instructions,omitempty"`
	}{o.capabilities(), implementationOf(config), instructionsOf(config, servers)})
	encoded[0] = ',' // instead of the opening brace
	return append(encoded, '}')
}

// mustEncode encodes what is made of strings and of JSON that was read before.
func mustEncode(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic("broker: strings cannot be encoded: " + err.Error())
	}
	return encoded
}

// declaredTo returns what a server is told of the client's capabilities, raw:
// those whose messages the gateway carries between them. Tasks are not among
// them; experimental ones only if the server is the gateway's only one.
func declaredTo(capabilities json.RawMessage, sole bool) []byte {
	out := []byte{'{'}
	for _, key := range []string{`"sampling"`, `"elicitation"`, `"roots"`, `"experimental"`} {
		value := objectMember(capabilities, key)
		if value == nil || key == `"experimental"` && !sole {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, key...), ':'), value...)
	}
	return append(out, '}')
}

// refusal returns what a server's request is refused with that the client has not
// declared to understand; code 0 if it has, or if none needs to.
func refusal(capabilities json.RawMessage, method string, params []byte) (code int, words string) {
	switch method {
	case mcp.MethodCreateMessage, mcp.MethodElicit, mcp.MethodRootsList:
		return fromserver.Refusal(capabilities, method, params)
	}
	return 0, ""
}

// objectMember returns the first member of a raw object under the raw key if it
// is an object, else nil. The object may be nil.
func objectMember(object []byte, key string) []byte {
	var found []byte
	_ = jsonrpc.Members(object, func(k, value jsonrpc.Span) bool {
		if string(k.Of(object)) != key {
			return true
		}
		found = value.Of(object)
		return false
	})
	if len(found) == 0 || found[0] != '{' {
		return nil
	}
	return found
}
