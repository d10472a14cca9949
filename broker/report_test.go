package broker

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/internal/gatewayconfig"
)

func TestReportTellsWhatTheBrokerSees(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shut, odd := raw(), raw()
		shut.Intercept = func(w http.ResponseWriter, _ *http.Request, _, _ string) bool {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		odd.Intercept = func(w http.ResponseWriter, _ *http.Request, _, _ string) bool {
			_, _ = w.Write([]byte("hello"))
			return true
		}
		c := config("one", "shut", "odd", "down")
		c.Digest = "d1"
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": raw("a", "b"), "shut": shut, "odd": odd})
		synctest.Wait()
		got := g.inside("GET", gatewayconfig.PathReport, "", nil)
		var report gatewayconfig.Report
		if err := json.Unmarshal([]byte(got.body), &report); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.body, address) {
			t.Errorf("an address is in %s", got.body)
		}
		for i := range report.Servers {
			if s := &report.Servers[i]; (s.Error != "") != (s.State == gatewayconfig.ServerFailed) {
				t.Errorf("%s is %s with error %q", s.Name, s.State, s.Error)
			} else {
				s.Error = ""
			}
		}
		want := gatewayconfig.Report{
			Config: "d1", Ready: true,
			Servers: []gatewayconfig.ServerReport{
				{Name: "one", State: gatewayconfig.ServerReady, Revision: "2025-11-25", ServerName: "raw", ServerVersion: "1", Tools: 2},
				{Name: "shut", State: gatewayconfig.ServerFailed, Failure: gatewayconfig.FailureUnauthorized},
				{Name: "odd", State: gatewayconfig.ServerFailed, Failure: gatewayconfig.FailureProtocol},
				{Name: "down", State: gatewayconfig.ServerFailed, Failure: gatewayconfig.FailureUnreachable},
			},
			Endpoints: []gatewayconfig.EndpointReport{{Path: "/mcp", Tools: 2}},
		}
		if diff := cmp.Diff(want, report); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if again := g.inside("GET", gatewayconfig.PathReport, "", map[string]string{"If-None-Match": got.header.Get("ETag")}); again.status != http.StatusNotModified {
			t.Errorf("who has it gets %d", again.status)
		}
		if short := short(strings.Repeat("ü", mostReported)); len(short) > mostReported+len("…") || strings.ToValidUTF8(short, "?") != short {
			t.Errorf("cut to %q", short)
		}
	})
}

// Where Envoy's routes are not the gateway's, the filter says what they look for, and
// the broker what the server does.
func TestTheTableHasTheRouteInPlaceOfTheURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one := raw("a")
		c := config("one")
		c.Servers[0].Route = &gatewayconfig.Route{Authority: "one.internal.example", Path: "/one/mcp"}
		g := newGateway(t, setup{config: c}, map[string]http.Handler{"one": one})
		synctest.Wait()
		at := func() (string, string) {
			var table gatewayconfig.Table
			if err := gatewayconfig.Decode([]byte(g.inside("GET", gatewayconfig.PathTable, "", nil).body), &table); err != nil {
				t.Fatal(err)
			}
			return table.Servers[0].Authority, table.Servers[0].Path
		}
		if authority, path := at(); authority != "one.internal.example" || path != "/one/mcp" {
			t.Errorf("the filter is told %s %s", authority, path)
		}
		c.Servers[0].Route = &gatewayconfig.Route{Authority: "two.internal.example", Path: "/two"}
		if err := g.broker.Apply(c); err != nil {
			t.Fatal(err)
		}
		if authority, path := at(); authority != "two.internal.example" || path != "/two" {
			t.Errorf("after a change the filter is told %s %s", authority, path)
		}
	})
}
