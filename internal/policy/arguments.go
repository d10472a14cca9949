package policy

import (
	"errors"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"mcp-gateway/internal/jsonrpc"
)

// Why arguments cannot be judged.
var (
	errNoObject  = errors.New("the arguments are no object")
	errAmbiguous = errors.New("an object has two keys that some parser takes for one, or one that some parser takes for what the rule reads")
	errNumber    = errors.New("a number is not the same to every parser")
	errNotRead   = errors.New("a value cannot be read")
	errTooMany   = errors.New("an object or list has too many members to look at")
)

// mostMembers is how many members an object or a list may have that is looked at:
// each costs more memory than it takes in a body.
const mostMembers = 10_000

// reading is one evaluation's look at arguments. What it looks at must mean the
// same to every parser, else err says why it does not, and the evaluation counts as
// failed whatever came out: objects without keys that are equal or differ in case
// only, numbers within what a double tells apart. What it does not look at does not
// decide, and is not decoded.
type reading struct {
	err error
	// top is the arguments as an object, once an expression has asked for them, and
	// room is for its members, as far as they are few.
	top  object
	room [few]member
}

// begin makes r ready for another evaluation.
func (r *reading) begin() { r.err, r.top = nil, object{} }

// end lets go of the arguments.
func (r *reading) end() {
	r.begin()
	clear(r.room[:])
}

func (r *reading) fail(err error) ref.Val {
	r.err = err
	return types.WrapErr(err)
}

// arguments returns the value of params.arguments, raw, which may be absent.
func (r *reading) arguments(raw []byte) ref.Val {
	if len(raw) == 0 || string(raw) == "null" {
		raw = noMembers
	}
	if raw[0] != '{' {
		return r.fail(errNoObject)
	}
	if r.top.raw == nil {
		r.top = object{reading: r, raw: raw, members: r.room[:0]}
	}
	return &r.top
}

var noMembers = []byte("{}")

// value returns a raw JSON value, which was scanned before.
func (r *reading) value(raw []byte) ref.Val {
	switch raw[0] {
	case '{':
		return &object{reading: r, raw: raw}
	case '[':
		return r.list(raw)
	case '"':
		text, ok := jsonrpc.Unquote(nil, raw)
		if !ok {
			return r.fail(errNotRead)
		}
		return types.String(text)
	case 't':
		return types.True
	case 'f':
		return types.False
	case 'n':
		return types.NullValue
	}
	if n, ok := number(raw); ok {
		return n
	}
	return r.fail(errNumber)
}

func (r *reading) list(raw []byte) ref.Val {
	all := []ref.Val{}
	err := jsonrpc.Elements(raw, func(v jsonrpc.Span) bool {
		all = append(all, r.value(v.Of(raw)))
		return len(all) <= mostMembers
	})
	switch {
	case err != nil:
		return r.fail(errNotRead)
	case len(all) > mostMembers:
		return r.fail(errTooMany)
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

// object is a JSON object as a map of CEL, read when it is looked at.
type object struct {
	reading *reading
	raw     []byte
	isRead  bool
	members []member
	folded  map[string]int // indexes by keys as fold spells them; nil for few
	whole   traits.Mapper
}

type member struct {
	key []byte // decoded
	raw []byte
}

// few is how many members are compared with each other, which is quicker than a map.
const few = 16

// read fills members; false if some parser could read the object otherwise.
func (o *object) read() bool {
	if o.isRead || o.reading.err != nil { // then the evaluation has failed already
		return o.isRead
	}
	var fault error
	if o.members == nil {
		o.members = make([]member, 0, few)
	}
	err := jsonrpc.Members(o.raw, func(k, v jsonrpc.Span) bool {
		key, ok := jsonrpc.Unquote(nil, k.Of(o.raw))
		switch {
		case !ok:
			fault = errNotRead
		case o.find(key) != nil:
			fault = errAmbiguous
		case len(o.members) >= mostMembers:
			fault = errTooMany
		}
		o.members = append(o.members, member{key, v.Of(o.raw)})
		if o.folded != nil {
			o.folded[fold(key)] = len(o.members) - 1
		} else if len(o.members) > few {
			o.folded = make(map[string]int, 4*few)
			for i, m := range o.members {
				o.folded[fold(m.key)] = i
			}
		}
		return fault == nil
	})
	if err != nil {
		fault = errNotRead
	}
	if fault != nil {
		o.reading.err = fault
		return false
	}
	o.isRead = true
	return true
}

// find returns the member under a key in some spelling; nil if there is none.
func (o *object) find(key []byte) *member {
	if o.folded != nil {
		if i, ok := o.folded[fold(key)]; ok {
			return &o.members[i]
		}
		return nil
	}
	for i := range o.members {
		if sameFolded(o.members[i].key, key) {
			return &o.members[i]
		}
	}
	return nil
}

// sameFolded reports whether fold makes one of two keys.
func sameFolded(a, b []byte) bool {
	for i := 0; i < len(a) && i < len(b); i++ {
		x, y := a[i], b[i]
		switch {
		case x >= utf8.RuneSelf || y >= utf8.RuneSelf:
			return fold(a[i:]) == fold(b[i:])
		case x|0x20 != y|0x20, x != y && (x|0x20 < 'a' || x|0x20 > 'z'):
			return false
		}
	}
	return len(a) == len(b)
}

// fold makes one of all spellings that differ in case only, as parsers see it that
// ignore case: the smallest of each character's forms, and of an i without or with
// its dot the plain one.
func fold(key []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '\u0130' || r == '\u0131' {
			return 'I'
		}
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, string(key))
}

// Find returns the value under a key.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	text, isString := key.(types.String)
	if !isString {
		return types.MaybeNoSuchOverloadErr(key), false
	}
	if !o.read() {
		return types.WrapErr(o.reading.err), false
	}
	switch m := o.find([]byte(text)); {
	case m == nil:
		return nil, false
	case string(m.key) != string(text):
		return o.reading.fail(errAmbiguous), false
	default:
		v := o.reading.value(m.raw)
		return v, !types.IsError(v)
	}
}

// all returns the object as a whole, for what does not ask for one key.
func (o *object) all() traits.Mapper {
	if o.whole != nil {
		return o.whole
	}
	values := map[string]any{}
	if o.read() {
		for _, m := range o.members {
			values[string(m.key)] = o.reading.value(m.raw)
		}
	}
	o.whole = types.NewStringInterfaceMap(types.DefaultTypeAdapter, values)
	return o.whole
}

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if !found && v == nil {
		return types.NewErr("no such key: %v", key)
	}
	return v
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	v, found := o.Find(key)
	if !found && v != nil {
		return v
	}
	return types.Bool(found)
}

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return o.all().Size() }

// Iterator implements traits.Iterable.
func (o *object) Iterator() traits.Iterator { return o.all().Iterator() }

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val { return o.all().Equal(other) }

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(t reflect.Type) (any, error) { return o.all().ConvertToNative(t) }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val { return o.all().ConvertToType(t) }

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o *object) Value() any { return o.all().Value() }
