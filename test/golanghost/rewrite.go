package golanghost

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// Rewrite puts the module in the place of contrib's filter wherever m, which it
// changes, has a configuration of that. It reports whether there was any. What is
// packed in m and of a type that this program does not know stays as it is.
func Rewrite(m proto.Message) (changed bool, err error) {
	switch m := m.(type) {
	case *anypb.Any:
		return rewriteAny(m)
	case *corev3.ExtensionConfigSource:
		for i, url := range m.GetTypeUrls() {
			if url == TypeConfig {
				m.TypeUrls[i], changed = TypeModule, true
			}
		}
	}
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		var some bool
		some, err = rewriteField(field, value)
		changed = changed || some
		return err == nil
	})
	return changed, err
}

func rewriteField(field protoreflect.FieldDescriptor, value protoreflect.Value) (changed bool, err error) {
	switch {
	case field.IsMap():
		if field.MapValue().Message() == nil {
			return false, nil
		}
		value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
			var some bool
			some, err = Rewrite(v.Message().Interface())
			changed = changed || some
			return err == nil
		})
	case field.Message() == nil:
	case field.IsList():
		for i := range value.List().Len() {
			some, err := Rewrite(value.List().Get(i).Message().Interface())
			if err != nil {
				return false, err
			}
			changed = changed || some
		}
	default:
		return Rewrite(value.Message().Interface())
	}
	return changed, err
}

func rewriteAny(m *anypb.Any) (bool, error) {
	replaced, err := Replace(m)
	if err != nil {
		return false, err
	}
	if replaced != m {
		m.TypeUrl, m.Value = replaced.GetTypeUrl(), replaced.GetValue()
		return true, nil
	}
	inside, err := m.UnmarshalNew()
	if err != nil {
		return false, nil //nolint:nilerr // of a type that is not known here
	}
	changed, err := Rewrite(inside)
	if err != nil || !changed {
		return false, err
	}
	if err := m.MarshalFrom(inside); err != nil {
		return false, fmt.Errorf("pack %s again: %w", m.GetTypeUrl(), err)
	}
	return true, nil
}
