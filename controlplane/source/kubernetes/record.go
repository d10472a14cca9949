package kubernetes

import (
	"crypto/sha256"
	"encoding/json"
	"reflect"

	"mcp-gateway/controlplane/gateway"
)

// record is what a configuration of the brokers was made from: by it is told whether
// a broker that has an older one has a server as it is now.
type record struct {
	digest string
	parts  map[string][sha256.Size]byte
}

// recordOf splits g into its parts: servers by name, virtual servers by "/" and
// name, all else under "".
func recordOf(digest string, g *gateway.Gateway) record {
	r := record{digest: digest, parts: map[string][sha256.Size]byte{}}
	if g == nil {
		return r
	}
	rest := *g
	rest.Servers, rest.VirtualServers = nil, nil
	r.parts[""] = sum(&rest)
	for i := range g.Servers {
		broker := g.Servers[i]
		broker.Endpoints = nil // Envoy's, and as changeable as pods
		r.parts[g.Servers[i].Name] = sum(&broker)
	}
	for i := range g.VirtualServers {
		r.parts["/"+g.VirtualServers[i].Name] = sum(&g.VirtualServers[i])
	}
	return r
}

func sum(v any) [sha256.Size]byte {
	text, err := json.Marshal(v)
	if err != nil {
		return [sha256.Size]byte{} // the model has nothing that JSON has no form for
	}
	return sha256.Sum256(text)
}

func same(a, b *gateway.Gateway) bool { return reflect.DeepEqual(a, b) }

// mostRecords bounds the history.
const mostRecords = 32

// history are the last records, the newest last.
type history []record

// with adds a record, unless it is the newest already.
func (h history) with(r record) history {
	if len(h) > 0 && h[len(h)-1].digest == r.digest {
		// The same for the brokers; what is Envoy's alone may differ.
		h[len(h)-1] = r
		return h
	}
	h = append(h, r)
	if len(h) > mostRecords {
		h = append(history{}, h[len(h)-mostRecords:]...)
	}
	return h
}

// has reports whether the configuration with a digest has a part as the newest has
// it.
func (h history) has(digest, part string) bool {
	if len(h) == 0 || digest == "" {
		return false
	}
	want, known := h[len(h)-1].parts[part]
	for _, r := range h {
		if r.digest == digest {
			got, ok := r.parts[part]
			return known && ok && got == want
		}
	}
	return false
}
