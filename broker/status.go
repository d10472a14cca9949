package broker

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/broker/integrity"
	"mcp-gateway/broker/upstream"
	"mcp-gateway/internal/gatewayconfig"
	"mcp-gateway/internal/mcp"
)

// Status is the body of GET /status: what an operator wants to know. It holds no
// addresses: those are in the log.
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
	// Renamed are items whose names had to be changed for the limit.
	Renamed []RenamedStatus `json:"renamed,omitempty"`
	// Endpoints are what clients see, the gateway's own first.
	Endpoints []EndpointStatus `json:"endpoints"`
}

// EndpointStatus is what one endpoint shows.
type EndpointStatus struct {
	Path string `json:"path"`
	// Counts are of what lists show.
	Tools     int `json:"tools"`
	Prompts   int `json:"prompts"`
	Resources int `json:"resources"`
	Templates int `json:"templates"`
	// Failing names the server for which a list is answered with an error now.
	Failing string `json:"failing,omitempty"`
}

// RenamedStatus is a catalog.Renamed.
type RenamedStatus struct {
	List    string `json:"list"`
	Server  string `json:"server"`
	Name    string `json:"name"`
	Exposed string `json:"exposed"`
}

// ServerStatus is one server, in configured order; those that are blocked come last.
type ServerStatus struct {
	Name   string `json:"name"`
	Prefix string `json:"prefix,omitempty"`
	// OnConflict tells that Prefix goes before contested names only.
	OnConflict bool           `json:"onConflict,omitempty"`
	Label      string         `json:"label,omitempty"`
	State      upstream.State `json:"state"`
	// Partial is what lists do while State is failed; Stale tells that they show
	// what was listed before, see AgeSeconds.
	Partial gatewayconfig.Partial `json:"partial,omitempty"`
	Stale   bool                  `json:"stale,omitempty"`
	// Error is why State is failed, Failure what kind of failure that is.
	Error   string                `json:"error,omitempty"`
	Failure gatewayconfig.Failure `json:"failure,omitempty"`
	// Era is what the server was found to speak, "legacy", "modern" or "both";
	// absent before the first contact.
	Era string `json:"era,omitempty"`
	// Revision was used for discovery; Info is the server's serverInfo.
	Revision mcp.Revision    `json:"revision,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"`
	// Counts are of what the server lists, duplicates of names included.
	Tools     int `json:"tools"`
	Prompts   int `json:"prompts"`
	Resources int `json:"resources"`
	Templates int `json:"templates"`
	// Pooled counts the sessions that clients without sessions share.
	Pooled int `json:"pooledSessions,omitempty"`
	// Hidden counts items that the configuration does not admit.
	Hidden int `json:"hidden,omitempty"`
	// LeftOut counts items beyond limits.itemsPerServer.
	LeftOut int `json:"leftOut,omitempty"`
	// Integrity tells what is not to be trusted as it is; absent if that is nothing.
	Integrity *IntegrityStatus `json:"integrity,omitempty"`
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
		Ready: b.isReady(), Streams: b.counts.count(), Table: v.catalog.Table().Version,
		Servers: []ServerStatus{}, Conflicts: []ConflictStatus{}, Endpoints: []EndpointStatus{},
	}
	if v.configured {
		out.Endpoints = append(out.Endpoints, endpointStatus(v.config.Path, v.catalog.View("")))
	}
	for _, view := range v.config.Views {
		path := strings.TrimSuffix(v.config.Path, "/") + "/" + view.Name
		out.Endpoints = append(out.Endpoints, endpointStatus(path, v.catalog.View(view.Name)))
	}
	for i, snap := range v.seen {
		s := serverStatus(v.config.Servers[i], v.merged[i].Items, snap, v.verdicts[i])
		s.Pooled = b.pool.Count(v.servers[s.Name])
		out.Servers = append(out.Servers, s)
	}
	for _, x := range v.blocked {
		out.Servers = append(out.Servers, serverStatus(x.config, nil, x.seen, x.verdict))
	}
	for _, c := range v.catalog.Conflicts() {
		out.Conflicts = append(out.Conflicts, ConflictStatus{c.Kind.String(), c.Name, c.Server, c.Owner})
	}
	for _, r := range v.catalog.Renamed() {
		out.Renamed = append(out.Renamed, RenamedStatus{r.Kind.String(), r.Server, r.Own, r.Exposed})
	}
	return out
}

func endpointStatus(path string, v *catalog.View) EndpointStatus {
	s := EndpointStatus{
		Path: path, Tools: v.Count(catalog.Tools), Prompts: v.Count(catalog.Prompts),
		Resources: v.Count(catalog.Resources), Templates: v.Count(catalog.Templates),
	}
	for k := catalog.Tools; k <= catalog.Templates && s.Failing == ""; k++ {
		s.Failing = v.Failing(k)
	}
	return s
}

func serverStatus(config gatewayconfig.Server, items *catalog.Items, snap *upstream.Snapshot, verdict *integrity.Verdict) ServerStatus {
	s := ServerStatus{
		Name: config.Name, Prefix: config.Prefix, OnConflict: config.OnConflict, Label: config.Label,
		Partial: config.Partial, Stale: snap.State != upstream.Ready && snap.Listed,
		State: snap.State, Era: eraOf(snap), Revision: snap.Version, Info: snap.Info,
		Tools: items.Count(catalog.Tools), Prompts: items.Count(catalog.Prompts),
		Resources: items.Count(catalog.Resources), Templates: items.Count(catalog.Templates),
		Integrity: integrityStatus(verdict),
	}
	if snap.Err != nil {
		s.Error, s.Failure = withoutAddresses(snap.Err.Error(), config.URL), upstream.FailureOf(snap.Err)
	}
	for k := catalog.Tools; k <= catalog.Templates; k++ {
		s.Hidden += items.Hidden(k)
		s.LeftOut += items.Beyond(k)
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

func eraOf(snap *upstream.Snapshot) string {
	switch {
	case snap.Modern && snap.Legacy:
		return "both"
	case snap.Modern:
		return string(gatewayconfig.EraModern)
	case snap.Legacy:
		return string(gatewayconfig.EraLegacy)
	}
	return ""
}

// located matches URLs, and IP addresses with their ports.
var located = regexp.MustCompile(`"?[a-z]+://[^\s"]+"?|(\d{1,3}\.){3}\d{1,3}(:\d+)?|\[[0-9a-zA-Z:.%]+\](:\d+)?`)

// withoutAddresses takes what tells where a server is out of the text of an
// error.
func withoutAddresses(text, server string) string {
	text = located.ReplaceAllString(text, "(address)")
	u, err := url.Parse(server)
	if err != nil || u.Hostname() == "" {
		return text
	}
	host := regexp.MustCompile(`\b` + regexp.QuoteMeta(u.Hostname()) + `(:\d+)?\b`)
	return host.ReplaceAllString(text, "(address)")
}

func (b *Broker) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, b.Status())
}
