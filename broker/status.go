package broker

import (
	"encoding/json"
	"net/http"
	"time"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/mcp"
)

// Status is the body of GET /status: what an operator wants to know. It names
// addresses in error texts.
type Status struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Ready is what /readyz says.
	Ready bool `json:"ready"`
	// Streams is the number of open event streams of clients.
	Streams int `json:"streams"`
	// Table is the version of the routing table.
	Table     string           `json:"table"`
	Servers   []ServerStatus   `json:"servers"`
	Conflicts []ConflictStatus `json:"conflicts"`
}

// ServerStatus is one server, in configured order.
type ServerStatus struct {
	Name   string         `json:"name"`
	Prefix string         `json:"prefix,omitempty"`
	Label  string         `json:"label,omitempty"`
	State  upstream.State `json:"state"`
	// Error is why State is failed.
	Error string `json:"error,omitempty"`
	// Revision was negotiated for discovery; Info is the server's serverInfo.
	Revision mcp.Revision    `json:"revision,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"`
	// Counts are of what the server lists, duplicates of names included.
	Tools     int `json:"tools"`
	Prompts   int `json:"prompts"`
	Resources int `json:"resources"`
	Templates int `json:"templates"`
	// Faults are items that were left out.
	Faults []FaultStatus `json:"faults,omitempty"`
	// ListedAt and AgeSeconds tell how old the lists are; absent before the
	// first complete listing.
	ListedAt   *time.Time `json:"listedAt,omitempty"`
	AgeSeconds *float64   `json:"ageSeconds,omitempty"`
}

// FaultStatus is a catalog.Fault.
type FaultStatus struct {
	List   string `json:"list"`
	Index  int    `json:"index"`
	Reason string `json:"reason"`
}

// ConflictStatus is a catalog.Conflict.
type ConflictStatus struct {
	List   string `json:"list"`
	Name   string `json:"name"`
	Server string `json:"server"`
	Owner  string `json:"owner"`
}

// Status returns the state of the broker now.
func (b *Broker) Status() Status {
	v := b.view.Load()
	out := Status{
		Name: v.config.Name, Version: v.config.Version,
		Ready: b.isReady(), Streams: b.hub.count(), Table: v.catalog.Table().Version,
		Servers: []ServerStatus{}, Conflicts: []ConflictStatus{},
	}
	for i, snap := range v.seen {
		out.Servers = append(out.Servers, v.serverStatus(i, snap))
	}
	for _, c := range v.catalog.Conflicts() {
		out.Conflicts = append(out.Conflicts, ConflictStatus{c.Kind.String(), c.Name, c.Server, c.Owner})
	}
	return out
}

func (v *view) serverStatus(i int, snap *upstream.Snapshot) ServerStatus {
	config, items := v.config.Servers[i], v.merged[i].Items
	s := ServerStatus{
		Name: config.Name, Prefix: config.Prefix, Label: config.Label,
		State: snap.State, Revision: snap.Version, Info: snap.Info,
		Tools: items.Count(catalog.Tools), Prompts: items.Count(catalog.Prompts),
		Resources: items.Count(catalog.Resources), Templates: items.Count(catalog.Templates),
	}
	if snap.Err != nil {
		s.Error = snap.Err.Error()
	}
	for _, f := range items.Faults() {
		s.Faults = append(s.Faults, FaultStatus{f.Kind.String(), f.Index, f.Reason})
	}
	if !snap.ListedAt.IsZero() {
		age := time.Since(snap.ListedAt).Seconds()
		s.ListedAt, s.AgeSeconds = &snap.ListedAt, &age
	}
	return s
}

func (b *Broker) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, b.Status())
}
