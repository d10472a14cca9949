package golang

import (
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mcp-gateway/filter"
	"mcp-gateway/filter/golang/configpb"
	"mcp-gateway/internal/gatewayconfig"
)

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ownMessage is a configuration in the message of the project's own.
func ownMessage(t *testing.T, text string) *configpb.Filter {
	t.Helper()
	m := &configpb.Filter{}
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// newer is one of a later version.
func newer(t *testing.T, text string) *anypb.Any {
	t.Helper()
	m := ownMessage(t, text)
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	return packed(t, m)
}

// The message has what a TypedStruct may have, and means the same by it.
func TestMessageIsTheWholeConfiguration(t *testing.T) {
	t.Parallel()
	has := map[string]bool{"internalCluster": true} // that only the module has
	fields := (&configpb.Filter{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		has[fields.Get(i).JSONName()] = true
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[gatewayconfig.Filter]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !has[name] {
			t.Errorf("the message has no %q", name)
		}
		delete(has, name)
	}
	if len(has) > 0 {
		t.Errorf("the message has more: %v", has)
	}

	text := `{"path":"/mcp","ssePath":"/sse","hostnames":["a.example"],"allowedOrigins":["https://b.example"],"bodyLimit":4194304,` +
		`"responseLimit":16777216,"eventLimit":1000,"depth":10,"questions":7,"internalAddress":"unix:/b","askTimeout":"1.500s",` +
		`"sessionless":true,"metadata":true,"policies":true,"shared":{"internalHostnames":["*.mcp.local"]}}`
	want, err := jsonOf(typed(t, text))
	if err != nil {
		t.Fatal(err)
	}
	got, err := jsonOf(packed(t, ownMessage(t, text)))
	if err != nil {
		t.Fatal(err)
	}
	var a, b gatewayconfig.Filter
	if err := errors.Join(gatewayconfig.Decode(want, &a), gatewayconfig.Decode(got, &b)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	good := settings(b, "")
	for name, tt := range map[string]struct {
		message *anypb.Any
		want    string // of the error
	}{
		"TypedStruct": {typed(t, good), ""},
		"Struct":      {packed(t, inStruct(t, good)), ""},
		"Message":     {packed(t, ownMessage(t, good)), ""},
		"OtherType":   {packed(t, wrapperspb.String(good)), `configuration of type "type.googleapis.com/google.protobuf.StringValue"`},
		"UnknownType": {&anypb.Any{TypeUrl: "type.googleapis.com/none.Such"}, `configuration of type "type.googleapis.com/none.Such"`},
		"Broken":      {&anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Struct", Value: []byte{0xff}}, "configuration of type"},
		"Nothing":     {nil, `configuration of type ""`},
		"UnknownKey":  {typed(t, settings(b, `,"bodyLimits":3`)), `unknown field "bodyLimits"`},
		"NoAddress":   {typed(t, strings.Replace(good, "internalAddress", "internalCluster", 1)), "internalAddress"},
		"NoPort":      {typed(t, strings.Replace(good, b.Listener.Addr().String(), "broker", 1)), `internalAddress "broker" is neither unix:/path nor host:port`},
		"NewerField":  {newer(t, good), "fields that this version does not know"},
		"NoTimeout":   {packed(t, ownMessage(t, strings.Replace(good, `"askTimeout":"5s",`, "", 1))), "askTimeout"},
		"NoPath":      {typed(t, strings.Replace(good, "/mcp", "mcp", 1)), `path "mcp"`},
	} {
		c, err := new(Plugin).Parse(tt.message, &stats{values: map[string]uint64{}})
		switch {
		case tt.want == "" && (err != nil || c == nil):
			t.Errorf("%s: %v", name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
}

// A route's configuration takes the place of the filter's.
func TestRouteConfiguration(t *testing.T) {
	t.Parallel()
	b := newFakeBroker(t)
	p, parent, stats := newPlugin(t, b, "")
	child, err := p.Parse(typed(t, strings.Replace(settings(b, ""), "/mcp", "/team", 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	merged := p.Merge(parent, child)
	for path, status := range map[string]int{"/mcp": 404, "/team": 405} {
		e := newEnvoy(t, p, merged)
		e.sendHeaders(true, ":method", "PUT", ":path", path, ":authority", "x")
		e.until(path, func() bool { return e.reply != nil })
		if e.reply.status != status {
			t.Errorf("%s: %+v", path, e.reply)
		}
	}
	if n := stats.get("mcp_gateway_errors.reason.path.server.-"); n != 1 {
		t.Errorf("counted %d times: %v", n, stats.values)
	}
	merged.(*Config).Destroy()
	child.(*Config).Destroy()
	if n := p.configs.Load(); n != 1 {
		t.Errorf("%d configurations are left", n)
	}
}

func TestGauges(t *testing.T) {
	t.Parallel()
	runtime.GC() // before the first one Go knows of no live heap
	b := newFakeBroker(t)
	p, c, stats := newPlugin(t, b, "")
	e := warmed(t, p, c)
	eventually(t, "a stream", func() bool {
		return stats.get("mcp_gateway_streams") == 1 && stats.get("mcp_gateway_cached_sessions") == 1
	})
	e.destroy()
	eventually(t, "no stream", func() bool { return stats.get("mcp_gateway_streams") == 0 })
	if stats.get("mcp_gateway_configurations") != 1 || stats.get("mcp_gateway_heap_bytes") == 0 {
		t.Errorf("%v", stats.values)
	}
}

// Envoy checks no header of a local reply.
func TestReplyHeadersAreFit(t *testing.T) {
	t.Parallel()
	var edits []filter.Edit
	for _, h := range [][2]string{
		{"content-type", "application/json"}, {"retry-after", "5"}, {"www-authenticate", "Bearer a"}, {"www-authenticate", "Basic b"},
		{"", "x"}, {":status", "200"}, {"Upper", "x"}, {"with space", "x"}, {"with\nbreak", "x"}, {"colon:", "x"},
		{"empty", ""}, {"break", "a\r\nb: c"}, {"nul", "a\x00"}, {"del", "\x7f"}, {"tab", "a\tb"}, {"utf-8", "ä"},
	} {
		edits = append(edits, filter.Edit{Name: h[0], Value: []byte(h[1])})
	}
	edits = append(edits, filter.Edit{Name: "removed", Remove: true})
	want := map[string][]string{
		"content-type": {"application/json"}, "retry-after": {"5"}, "www-authenticate": {"Bearer a", "Basic b"}, "tab": {"a\tb"}, "utf-8": {"ä"},
	}
	if diff := cmp.Diff(want, replyHeaders(edits)); diff != "" {
		t.Error(diff)
	}
}

// Protobuf takes no string that is not UTF-8: the contrib library would panic.
func TestNotesAreText(t *testing.T) {
	t.Parallel()
	e := newEnvoy(t, &Plugin{}, nil)
	e.stream.(*Stream).note("name", []byte("a\xff"))
	if _, err := structpb.NewValue(e.notes["mcp"]["name"]); err != nil {
		t.Errorf("%q: %v", e.notes["mcp"]["name"], err)
	}
}
