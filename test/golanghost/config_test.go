package golanghost

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// member appends a field with a length.
func member(b []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), value)
}

// text is the configuration of the plugin in plugin/.
func text(t *testing.T, s string) []byte {
	t.Helper()
	message, err := anypb.New(wrapperspb.String(s))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// contrib is contrib's configuration of a filter.
func contrib(t *testing.T, library, name, config string) *anypb.Any {
	t.Helper()
	return contribOf(library, name, text(t, config))
}

func contribOf(library, name string, config []byte) *anypb.Any {
	b := member(nil, 1, []byte("id"))
	b = member(b, 2, []byte(library))
	b = member(b, 3, []byte(name))
	return &anypb.Any{TypeUrl: TypeConfig, Value: member(b, 4, config)}
}

// contribRoute is contrib's configuration of a route.
func contribRoute(t *testing.T, name, config string) *anypb.Any {
	t.Helper()
	return contribRouteOf(name, text(t, config))
}

func contribRouteOf(name string, config []byte) *anypb.Any {
	entry := member(member(nil, 1, []byte(name)), 2, member(nil, 2, config))
	return &anypb.Any{TypeUrl: TypeRoute, Value: member(nil, 1, entry)}
}

// inJSON is the configuration of the module in the place of one of contrib's.
func inJSON(t *testing.T, config *anypb.Any) string {
	t.Helper()
	replaced, err := Replace(config)
	if err != nil {
		t.Fatal(err)
	}
	b, err := protojson.MarshalOptions{Multiline: false}.Marshal(replaced)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// extension is the module as an extension of the server.
func extension(t *testing.T) string {
	t.Helper()
	e, err := Extension()
	if err != nil {
		t.Fatal(err)
	}
	b, err := protojson.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReplaceLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	other := &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.StringValue", Value: []byte{1}}
	if got, err := Replace(other); err != nil || got != other {
		t.Errorf("%v, %v", got, err)
	}
}
