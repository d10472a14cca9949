// Package mcpparam mirrors arguments of a tool into headers of its call, as the
// x-mcp-header annotations in the tool's inputSchema ask for (2026-07-28,
// basic/transports/streamable-http, Custom Headers from Tool Parameters).
package mcpparam

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
	"mcp-gateway/internal/modern"
)

const annotation = "x-mcp-header"

// Valid returns what is wrong with the annotations of a raw inputSchema: a tool
// with such must not be listed over HTTP. Nil if there are none. What else the
// schema says is not looked at.
func Valid(inputSchema []byte) error {
	_, err := read(inputSchema)
	return err
}

// Headers returns the values of the Mcp-Param-* headers of a call with these raw
// arguments by their names, nil for none. An argument that is null, or of a type that has no form in a
// header, has none. An invalid schema asks for nothing.
func Headers(inputSchema, arguments []byte) map[string]string {
	params, err := read(inputSchema)
	if err != nil || len(params) == 0 {
		return nil
	}
	var out map[string]string
	for _, p := range params {
		value, ok := text(find(arguments, p.path), p.integer)
		if !ok {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[mcp.HeaderParamPrefix+p.header] = string(modern.AppendHeader(nil, value))
	}
	return out
}

// param is an annotated property.
type param struct {
	// path are the property's name and those of the objects around it, outermost
	// first.
	path    []string
	header  string // without the prefix
	integer bool
}

// find returns the raw value at a path; nil if there is none. Of equal names the
// last counts, as it does for all parsers of note.
func find(object []byte, path []string) []byte {
	for _, name := range path {
		var found []byte
		err := jsonrpc.Members(object, func(key, value jsonrpc.Span) bool {
			if is(key.Of(object), name) {
				found = value.Of(object)
			}
			return true
		})
		if err != nil || found == nil {
			return nil
		}
		object = found
	}
	return object
}

// is reports whether a raw string token is a text.
func is(token []byte, want string) bool {
	if bytes.IndexByte(token, '\\') < 0 {
		return len(token) == len(want)+2 && string(token[1:len(token)-1]) == want
	}
	got, ok := jsonrpc.Unquote(nil, token)
	return ok && string(got) == want
}

// largestSafe is the largest integer that all parsers read alike.
const largestSafe = 1<<53 - 1

// text returns a raw value as a header shows it, before it is encoded. A number
// stays as it is written, but for an integer in another form, which becomes
// decimal: what is no integer the server has to refuse.
func text(raw []byte, integer bool) ([]byte, bool) {
	if len(raw) == 0 {
		return nil, false
	}
	switch c := raw[0]; {
	case c == '"':
		return jsonrpc.Unquote(nil, raw)
	case c == 't', c == 'f':
		return raw, true
	case c != '-' && (c < '0' || c > '9'): // null, an object, an array
		return nil, false
	}
	if !integer || !bytes.ContainsAny(raw, ".eE") {
		return raw, true
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > largestSafe {
		return raw, true
	}
	return strconv.AppendInt(nil, int64(f), 10), true
}

// read collects the annotations of a schema.
func read(schema []byte) ([]param, error) {
	if !bytes.Contains(schema, []byte(annotation)) && !bytes.Contains(schema, []byte(`\u`)) {
		return nil, nil // and no other spelling of it either
	}
	r := reader{seen: map[string]bool{}}
	if err := r.schema(schema, []string{}); err != nil {
		return nil, err
	}
	return r.params, nil
}

var (
	errUnreachable = errors.New("x-mcp-header stands where no chain of properties leads")
	errNoToken     = errors.New("x-mcp-header is no name of a header")
	errType        = errors.New("x-mcp-header is at a property that is no integer, string or boolean")
)

// reader walks the places of a schema where a schema may stand.
type reader struct {
	params []param
	seen   map[string]bool // headers, lower case
}

// applicators are the keywords of JSON Schema 2020-12 and draft-07, but for
// properties, whose value is or holds schemas, in an object or array or by
// itself. Other keywords hold data, or lead away ($ref), and are not followed.
var applicators = map[string]holding{
	"items": itself | array, "contains": itself, "additionalItems": itself, "unevaluatedItems": itself,
	"additionalProperties": itself, "propertyNames": itself, "unevaluatedProperties": itself,
	"not": itself, "if": itself, "then": itself, "else": itself, "contentSchema": itself,
	"allOf": array, "anyOf": array, "oneOf": array, "prefixItems": array,
	"patternProperties": object, "dependentSchemas": object, "dependencies": object, "$defs": object, "definitions": object,
}

type holding uint8

const (
	itself holding = 1 << iota
	array
	object
)

// schema reads one schema. path leads to it by properties alone; nil if it does
// not. What is no object has no annotation.
func (r *reader) schema(s []byte, path []string) error {
	if len(s) == 0 || s[0] != '{' {
		return nil
	}
	var header, kind []byte
	var err error
	broken := jsonrpc.Members(s, func(key, value jsonrpc.Span) bool {
		name, _ := jsonrpc.Unquote(nil, key.Of(s))
		v := value.Of(s)
		switch string(name) {
		case annotation:
			header = v
		case "type":
			kind = v
		case "properties":
			err = each(v, func(name string, property []byte) error {
				if path == nil {
					return r.schema(property, nil)
				}
				return r.schema(property, append(path[:len(path):len(path)], name))
			})
		default:
			err = r.below(applicators[string(name)], v)
		}
		return err == nil
	})
	switch {
	case err != nil:
		return err
	case broken != nil:
		return fmt.Errorf("inputSchema cannot be read: %w", broken)
	case header != nil:
		return r.annotated(header, kind, path)
	}
	return nil
}

// below reads the schemas in the value of a keyword that is not properties.
func (r *reader) below(h holding, value []byte) (err error) {
	switch {
	case h&object != 0:
		return each(value, func(_ string, s []byte) error { return r.schema(s, nil) })
	case h&array != 0 && value[0] == '[':
		broken := jsonrpc.Elements(value, func(s jsonrpc.Span) bool {
			err = r.schema(s.Of(value), nil)
			return err == nil
		})
		return errors.Join(err, broken)
	case h&itself != 0:
		return r.schema(value, nil)
	}
	return nil
}

// each calls f for the members of an object, and not at all for another value.
func each(object []byte, f func(name string, value []byte) error) (err error) {
	if object[0] != '{' {
		return nil
	}
	broken := jsonrpc.Members(object, func(key, value jsonrpc.Span) bool {
		name, _ := jsonrpc.Unquote(nil, key.Of(object))
		err = f(string(name), value.Of(object))
		return err == nil
	})
	if err == nil && broken != nil {
		err = fmt.Errorf("inputSchema cannot be read: %w", broken)
	}
	return err
}

// annotated adds a property.
func (r *reader) annotated(header, kind []byte, path []string) error {
	if len(path) == 0 {
		return errUnreachable
	}
	name, ok := jsonrpc.Unquote(nil, header)
	if !ok || !isToken(name) {
		return errNoToken
	}
	integer := false
	switch string(kind) {
	case `"integer"`:
		integer = true
	case `"string"`, `"boolean"`:
	default:
		return errType
	}
	lower := strings.ToLower(string(name))
	if r.seen[lower] {
		return fmt.Errorf("x-mcp-header %q is there more than once", name)
	}
	r.seen[lower] = true
	r.params = append(r.params, param{path, string(name), integer})
	return nil
}

// isToken reports whether a text can name a header (RFC 9110, 5.6.2).
func isToken(text []byte) bool {
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return len(text) > 0
}
