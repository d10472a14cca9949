package catalog_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp-gateway/broker/catalog"
	"mcp-gateway/internal/gatewayconfig"
)

// listed returns the one item of a kind as the merged list shows it.
func listed(t *testing.T, k catalog.Kind, items *catalog.Items) string {
	t.Helper()
	answer := string(catalog.Merge([]catalog.Server{{Items: items}}, catalog.Options{}).View("").First(k))
	answer = strings.TrimPrefix(answer, `,"result":{"`+k.String()+`":[`)
	return strings.TrimSuffix(answer, `]}}`)
}

func TestPrepareChangesOneStringAndNoOtherByte(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, prefix, label string
		lists               catalog.Lists
		kind                catalog.Kind
		want                string
	}{
		{
			name: "everything else stays", prefix: "w_", label: "weather", kind: catalog.Tools,
			lists: catalog.Lists{Tools: raws(`{ "z": 9007199254740993, "inputSchema": {"name":"name","$defs":{"name":{"type":["object"]}},"x":1.0,"y":1e400,"$anchor":"name"},
				"execution":{"taskSupport":"optional","?":null}, "icons":[{"src":"ui://x","new":true}], "name" : "get" , "_meta":{"a/b":-0.0,"name":"x"},
				"title":"\u00e9<&>", "annotations":{}, "outputSchema": true }`)},
			want: `{ "z": 9007199254740993, "inputSchema": {"name":"name","$defs":{"name":{"type":["object"]}},"x":1.0,"y":1e400,"$anchor":"name"},
				"execution":{"taskSupport":"optional","?":null}, "icons":[{"src":"ui://x","new":true}], "name" : "w_get" , "_meta":{"a/b":-0.0,"name":"x"},
				"title":"\u00e9<&>", "annotations":{}, "outputSchema": true }`,
		},
		{
			name: "no prefix keeps the spelling of the name", kind: catalog.Tools,
			lists: catalog.Lists{Tools: raws(`{"name":"\u0067et\/x"}`)},
			want:  `{"name":"\u0067et\/x"}`,
		},
		{
			name: "escaped name and key are understood", prefix: "w_", kind: catalog.Tools,
			lists: catalog.Lists{Tools: raws(`{"\u006eame":"\u0067et\"q\""}`)},
			want:  `{"\u006eame":"w_get\"q\""}`,
		},
		{
			name: "prompt", prefix: "w_", label: "weather", kind: catalog.Prompts,
			lists: catalog.Lists{Prompts: raws(`{"arguments":[{"name":"city"}],"name":"report","_meta":{"ui/resourceUri":"ui://x"}}`)},
			want:  `{"arguments":[{"name":"city"}],"name":"w_report","_meta":{"ui/resourceUri":"ui://x"}}`,
		},
		{
			name: "resource", prefix: "w_", label: "weather", kind: catalog.Resources,
			lists: catalog.Lists{Resources: raws(`{"uri":"file:///a+b","name":"n","size":9007199254740993}`)},
			want:  `{"uri":"weather+file:///a+b","name":"n","size":9007199254740993}`,
		},
		{
			name: "view resource", label: "weather", kind: catalog.Resources,
			lists: catalog.Lists{Resources: raws(`{"uri":"ui://map/a"}`)},
			want:  `{"uri":"ui://weather+map/a"}`,
		},
		{
			name: "template", label: "weather", kind: catalog.Templates,
			lists: catalog.Lists{Templates: raws(`{"name":"n","uriTemplate":"{+uri}"}`)},
			want:  `{"name":"n","uriTemplate":"weather+{+uri}"}`,
		},
		{
			name: "view of a tool, both forms", prefix: "w_", label: "weather", kind: catalog.Tools,
			lists: catalog.Lists{Tools: raws(`{"_meta":{"ui":{"visibility":["app"],"resourceUri":"ui://map"},"resourceUri":"ui://no","ui/resourceUri":"ui://map"},"name":"show"}`)},
			want:  `{"_meta":{"ui":{"visibility":["app"],"resourceUri":"ui://weather+map"},"resourceUri":"ui://no","ui/resourceUri":"ui://weather+map"},"name":"w_show"}`,
		},
		{
			name: "view of another type stays", prefix: "w_", label: "weather", kind: catalog.Tools,
			lists: catalog.Lists{Tools: raws(`{"name":"a","_meta":{"ui":[{"resourceUri":"ui://a"}],"ui/resourceUri":7}}`)},
			want:  `{"name":"w_a","_meta":{"ui":[{"resourceUri":"ui://a"}],"ui/resourceUri":7}}`,
		},
		{
			name: "without label no URI changes", prefix: "w_", kind: catalog.Tools,
			lists: catalog.Lists{Tools: raws(`{"name":"a","_meta":{"ui/resourceUri":"ui:\/\/map"}}`)},
			want:  `{"name":"w_a","_meta":{"ui/resourceUri":"ui:\/\/map"}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			items := catalog.Prepare(test.lists, gatewayconfig.Server{Prefix: test.prefix, Label: test.label}, catalog.Limits{})
			if faults := items.Faults(); faults != nil {
				t.Fatalf("faults: %v", faults)
			}
			if diff := cmp.Diff(test.want, listed(t, test.kind, items)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrepareDoesNotWriteIntoTheServersBytes(t *testing.T) {
	t.Parallel()
	const original = `{"name":"a","uri":"x"}`
	raw := []byte(original)
	catalog.Prepare(catalog.Lists{Tools: [][]byte{raw}, Resources: [][]byte{raw}}, gatewayconfig.Server{Prefix: "prefix_", Label: "label"}, catalog.Limits{})
	if string(raw) != original {
		t.Errorf("raw became %s", raw)
	}
}

func TestPrepareLeavesOutOnlyTheFaultyItem(t *testing.T) {
	t.Parallel()
	items := catalog.Prepare(catalog.Lists{
		Tools: raws(`{"name":"a"}`, `7`, `{"title":"x"}`, `{"name":null}`, `{"name":{"name":"x"}}`, `{"name":""}`,
			`{"name":"b","name":"c"}`, `{"Name":"d"}`, `{"name":"z"}`,
			`{"inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":"P"}}},"name":"y"}`,
			`{"name":"e","inputSchema":{"properties":{"p":{"type":"object","x-mcp-header":"P"}}}}`),
		Resources: raws(`{"name":"no uri"}`),
	}, gatewayconfig.Server{}, catalog.Limits{})
	if got, want := listed(t, catalog.Tools, items), `{"name":"a"},{"name":"z"},{"inputSchema":{"properties":{"p":{"type":"string","x-mcp-header":"P"}}},"name":"y"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want := []catalog.Fault{
		{Kind: catalog.Tools, Index: 1, Reason: "not a JSON object"},
		{Kind: catalog.Tools, Index: 2, Reason: "no name"},
		{Kind: catalog.Tools, Index: 3, Reason: "name is not a string"},
		{Kind: catalog.Tools, Index: 4, Reason: "name is not a string"},
		{Kind: catalog.Tools, Index: 5, Reason: "name is empty"},
		{Kind: catalog.Tools, Index: 6, Reason: "name more than once"},
		{Kind: catalog.Tools, Index: 7, Reason: "no name"},
		{Kind: catalog.Tools, Index: 10, Reason: "x-mcp-header is at a property that is no integer, string or boolean"},
		{Kind: catalog.Resources, Index: 0, Reason: "no uri"},
	}
	if diff := cmp.Diff(want, items.Faults()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if got := items.Count(catalog.Tools); got != 3 {
		t.Errorf("Count = %d, want 3", got)
	}
}
