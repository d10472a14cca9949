package gatewayconfig

import "fmt"

// Table tells the filter who owns which name. Version changes with content.
type Table struct {
	Version string        `json:"version"`
	Servers []TableServer `json:"servers"`
	// Tools and Prompts map exposed names to their owners.
	Tools   map[string]Target `json:"tools"`
	Prompts map[string]Target `json:"prompts"`
	// NameLimit is that of Broker: no other name can be one of an unlisted server.
	NameLimit int `json:"nameLimit,omitempty"`
	// TaskKey is what ids of tasks are sealed with for their principals; empty where
	// nobody has to prove who it is.
	TaskKey []byte `json:"taskKey,omitempty"`
	// Views are the endpoints besides the gateway's own.
	Views []TableView `json:"views,omitempty"`
	// Authorization is that of Broker.
	Authorization *Authorization `json:"authorization,omitempty"`
}

// TableView is one endpoint that shows a part of the gateway.
type TableView struct {
	// Name is the last segment of its path.
	Name string `json:"name"`
	// Servers are indexes in Table.Servers; no other server is seen.
	Servers []int `json:"servers"`
	// Tools and Prompts go by exposed names, Resources by URIs with their label.
	Tools     Rules `json:"tools,omitzero"`
	Prompts   Rules `json:"prompts,omitzero"`
	Resources Rules `json:"resources,omitzero"`
}

// TableServer is one server as the filter routes to it.
type TableServer struct {
	Name string `json:"name"`
	// Cluster is that of Server.
	Cluster string `json:"cluster"`
	// Authority and Path replace :authority and :path of a forwarded request.
	Authority string `json:"authority"`
	Path      string `json:"path"`
	Prefix    string `json:"prefix,omitempty"`
	Label     string `json:"label,omitempty"`
	// Listed is false until the server's lists were read once; until then its
	// prefix alone decides, so that a call meets the server's own state and
	// not "unknown tool".
	Listed bool `json:"listed"`
	// Resources reports the resources capability: answers may hold URIs that
	// need the label.
	Resources bool `json:"resources,omitempty"`
	// OnConflict is that of Server: until the lists were read, names without the
	// prefix may be the server's too.
	OnConflict bool `json:"onConflict,omitempty"`
	// Modern: the server speaks a stateless revision; ModernOnly: and none with
	// sessions. A request of the other era is the broker's to translate.
	Modern     bool `json:"modern,omitempty"`
	ModernOnly bool `json:"modernOnly,omitempty"`
	// Rules hold for what the table cannot enumerate; nil for none.
	Rules *ServerRules `json:"rules,omitempty"`
	// Sends is what requests to it carry; nil for nothing of its own.
	Sends *Sends `json:"sends,omitempty"`
}

// ServerRules say what of a server is offered, by the server's own names and
// URIs.
type ServerRules struct {
	// Tools and Prompts hold while the server is not listed; later only what they
	// admit has a name in the table. Names with an alias are denied in them.
	Tools   Rules `json:"tools,omitzero"`
	Prompts Rules `json:"prompts,omitzero"`
	// Resources always holds, also for URIs that no list has.
	Resources Rules `json:"resources,omitzero"`
}

// Target is the owner of an exposed name: the index in Table.Servers and the
// name as the server knows it.
type Target struct {
	Server int    `json:"s"`
	Name   string `json:"n"`
	// Hints are a tool's, if some rule of Authorization needs them.
	Hints Hints `json:"h,omitempty"`
}

// Validate reports whether t is consistent: every target and every view names
// servers that there are.
func (t *Table) Validate() error {
	for _, m := range []map[string]Target{t.Tools, t.Prompts} {
		for name, target := range m {
			if target.Server < 0 || target.Server >= len(t.Servers) {
				return fmt.Errorf("table: %q points to server %d of %d", name, target.Server, len(t.Servers))
			}
		}
	}
	for _, v := range t.Views {
		for _, i := range v.Servers {
			if i < 0 || i >= len(t.Servers) {
				return fmt.Errorf("table: view %q shows server %d of %d", v.Name, i, len(t.Servers))
			}
		}
	}
	return nil
}
