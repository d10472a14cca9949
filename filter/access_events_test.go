package filter

import (
	"testing"

	"mcp-gateway/internal/gatewayconfig"
)

// A server tells on the stream of a call of no resource that its client may not use,
// by the rules of now: the call may be older.
func TestUpdatesOnTheStreamOfACall(t *testing.T) {
	t.Parallel()
	updated := func(uri string) string {
		return `data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"` + uri + `"}}` + "\n\n"
	}
	g := accessGateway(t, nil)
	open := func(token string) *Stream {
		s, _ := post(g, request("resources/read", `"uri":"docs+file:///a"`), "x-mcp-claims", token)
		s.ResponseHeaders(headersOf("200", "text/event-stream"), false)
		return s
	}
	said := updated("file:///secret/a") + updated("file:///admin/a") + updated("FILE:///secret/a") + updated("file:///b") +
		`data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":7}}` + "\n\n"
	reads, writes := open(reader), open(writer)
	if got := string(reads.ResponseBody([]byte(said), false).Body); got != updated("docs+file:///b") {
		t.Errorf("to a reader: %s", got)
	}
	if got := string(writes.ResponseBody([]byte(said), false).Body); got != updated("docs+file:///secret/a")+updated("docs+file:///b") {
		t.Errorf("to a writer: %s", got)
	}
	next := accessTable()
	next.Version = "without"
	next.Authorization.Rules[1].When = ""
	putTable(t, g, next)
	if got := string(writes.ResponseBody([]byte(said), false).Body); got != updated("docs+file:///b") {
		t.Errorf("to a writer after the change: %s", got)
	}
	next.Version, next.Servers[1].Rules = "of the server", &gatewayconfig.ServerRules{Resources: gatewayconfig.Rules{Deny: []string{"file:///b"}}}
	putTable(t, g, next)
	if got := string(writes.ResponseBody([]byte(said), false).Body); got != "" {
		t.Errorf("of what the server does not offer: %s", got)
	}
}
