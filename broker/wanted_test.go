package broker

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/session"
)

func TestWantedOf(t *testing.T) {
	t.Parallel()
	all := toolsChanged | promptsChanged | resourcesChanged
	for _, tt := range []struct {
		params string
		want   wanted
		back   string // the filter, as acknowledged
	}{
		{`{"notifications":{}}`, wanted{}, `{}`},
		{`{"x":1,"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"y":[]}}`, wanted{lists: all},
			`{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}`},
		{`{"notifications":{"toolsListChanged":null,"promptsListChanged":false,"resourceSubscriptions":null}}`, wanted{}, `{}`},
		{`{"notifications":{"ToolsListChanged":true}}`, wanted{}, `{}`},
		{`{"notifications":{"taskIds":["t"],"resourceSubscriptions":["a:b\/\u0063","a:b/c","d:\""],"toolsListChanged":true}}`,
			wanted{lists: toolsChanged, uris: []string{"a:b/c", `d:"`}, tasks: []string{"t"}},
			`{"toolsListChanged":true,"resourceSubscriptions":["a:b/c","d:\""],"taskIds":["t"]}`},
	} {
		got, err := wantedOf([]byte(tt.params))
		if err != nil {
			t.Errorf("%s: %v", tt.params, err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(wanted{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.params, diff)
		}
		if back := string(got.appendFilter(nil)); back != tt.back {
			t.Errorf("%s: %s, want %s", tt.params, back, tt.back)
		}
	}
	// The resources and tasks of a filter, n in all.
	many := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, strconv.Quote(strconv.Itoa(i)))
		}
		return `{"notifications":{"taskIds":[` + strings.Join(all[:n/2], ",") + `],"resourceSubscriptions":[` + strings.Join(all[n/2:], ",") + `]}}`
	}
	if _, err := wantedOf([]byte(many(session.MaxSubscriptions))); err != nil {
		t.Error(err)
	}
	for _, params := range []string{
		many(session.MaxSubscriptions + 1),
		``, `{}`, `[]`, `{"notifications":null}`, `{"notifications":[]}`, `{"notifications":{"toolsListChanged":1}}`,
		`{"notifications":{"toolsListChanged":"true"}}`, `{"notifications":{"resourceSubscriptions":"a:b"}}`,
		`{"notifications":{"resourceSubscriptions":["a:b",1]}}`, `{"notifications":{"taskIds":{}}}`,
	} {
		if got, err := wantedOf([]byte(params)); err == nil {
			t.Errorf("%s: %v", params, got)
		}
	}
}

func TestTagged(t *testing.T) {
	t.Parallel()
	const key = `"io.modelcontextprotocol/subscriptionId":`
	for _, tt := range []struct{ message, want string }{
		{`{"method":"n","jsonrpc":"2.0","params":{"x":1.0,"_meta":{"a":1e400,` + key + ` "theirs" ,"b":2}}}`,
			`{"method":"n","jsonrpc":"2.0","params":{"x":1.0,"_meta":{"a":1e400,` + key + ` "ours" ,"b":2}}}`},
		{`{"jsonrpc":"2.0","method":"n","params":{"_meta":{"io.modelcontextprotocol\/subscriptionId":7}}}`,
			`{"jsonrpc":"2.0","method":"n","params":{"_meta":{"io.modelcontextprotocol\/subscriptionId":"ours"}}}`},
		{`{"jsonrpc":"2.0","method":"n","params":{"_meta":{"a":1}}}`, `{"jsonrpc":"2.0","method":"n","params":{"_meta":{` + key + `"ours","a":1}}}`},
		{`{"jsonrpc":"2.0","method":"n","params":{"_meta":{ }}}`, `{"jsonrpc":"2.0","method":"n","params":{"_meta":{` + key + `"ours" }}}`},
		{`{"jsonrpc":"2.0","method":"n","params":{"_meta":null,"x":1}}`, `{"jsonrpc":"2.0","method":"n","params":{"_meta":{` + key + `"ours"},"x":1}}`},
		{`{"jsonrpc":"2.0","method":"n","params":{"x":1}}`, `{"jsonrpc":"2.0","method":"n","params":{"_meta":{` + key + `"ours"},"x":1}}`},
		{`{"jsonrpc":"2.0","method":"n"}`, ``},
		{`{"jsonrpc":"2.0","method":"n","params":{}}`, `{"jsonrpc":"2.0","method":"n","params":{"_meta":{` + key + `"ours"}}}`},
		{`{"jsonrpc":"2.0","method":"n","params":[]}`, ``},
		{`{"jsonrpc":"2.0","id":1,"method":"n","params":{"x":1}}`, ``},
		{`{"jsonrpc":"2.0","id":1,"result":{}}`, ``},
		{`{`, ``},
	} {
		got, ok := tagged([]byte(tt.message), []byte(`"ours"`))
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s:\n got %s\nwant %s", tt.message, got, tt.want)
		}
	}
}
