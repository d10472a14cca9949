package broker

import (
	"errors"
	"slices"
	"strconv"

	"mcp-gateway/broker/session"
	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// largestWanted bounds in bytes what one subscription can be about: it is kept
// for as long as that is open. As each resource costs a server with sessions two
// requests, there are session.MaxSubscriptions at most.
const largestWanted = 64 << 10

// wanted is what a subscription is about (2026-07-28, basic/patterns/
// subscriptions, Filter; taskIds are those of SEP-2663).
type wanted struct {
	lists changes
	// uris and tasks are as the client spells them, each once.
	uris, tasks []string
}

// The lists by the members of a filter that ask for their changes, in the order
// of an acknowledgement.
var wantedLists = []struct {
	member string
	changes
}{
	{"toolsListChanged", toolsChanged},
	{"promptsListChanged", promptsChanged},
	{"resourcesListChanged", resourcesChanged},
}

// wantedOf reads params.notifications of subscriptions/listen. The error is for
// the client. Members that are not known are left out, as is a null.
func wantedOf(params []byte) (w wanted, err error) {
	filter := memberOf(params, "notifications")
	switch {
	case len(filter) == 0 || filter[0] != '{':
		return wanted{}, errors.New("params.notifications must be an object")
	case len(filter) > largestWanted:
		return wanted{}, errors.New("params.notifications is too large")
	}
	_ = jsonrpc.Members(filter, func(k, v jsonrpc.Span) bool { // it was read before
		key, _ := jsonrpc.Unquote(nil, k.Of(filter))
		value := v.Of(filter)
		if string(value) == "null" {
			return true
		}
		switch string(key) {
		case "resourceSubscriptions":
			w.uris, err = texts(value)
		case "taskIds":
			w.tasks, err = texts(value)
		default:
			for _, list := range wantedLists {
				if list.member != string(key) {
					continue
				}
				if s := string(value); s != "true" && s != "false" {
					err = errors.New("must be true or false")
				}
				w.lists &^= list.changes
				if string(value) == "true" {
					w.lists |= list.changes
				}
			}
		}
		if err != nil {
			err = errors.New("params.notifications." + string(key) + " " + err.Error())
		}
		return err == nil
	})
	if err == nil && len(w.uris)+len(w.tasks) > session.MaxSubscriptions {
		err = errors.New("params.notifications is about too much: at most " + strconv.Itoa(session.MaxSubscriptions) + " resources and tasks")
	}
	return w, err
}

// texts returns the strings of an array, each once.
func texts(array []byte) (all []string, err error) {
	seen := map[string]bool{}
	wrong := jsonrpc.Elements(array, func(v jsonrpc.Span) bool {
		text, ok := jsonrpc.Unquote(nil, v.Of(array))
		if !ok {
			err = errors.New("must hold strings only")
		} else if !seen[string(text)] {
			seen[string(text)] = true
			all = append(all, string(text))
		}
		return ok
	})
	if wrong != nil {
		err = errors.New("must be an array")
	}
	return all, err
}

// memberOf returns the last member of a raw object under a plain key; nil if
// there is none.
func memberOf(object []byte, key string) (value []byte) {
	_ = jsonrpc.Members(object, func(k, v jsonrpc.Span) bool { // else it has none
		if got, _ := jsonrpc.Unquote(nil, k.Of(object)); string(got) == key {
			value = v.Of(object)
		}
		return true
	})
	return value
}

// appendFilter appends w as a filter.
func (w *wanted) appendFilter(dst []byte) []byte {
	dst = append(dst, '{')
	begin := len(dst)
	member := func(name string) {
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), `":`...)
	}
	for _, list := range wantedLists {
		if w.lists&list.changes != 0 {
			member(list.member)
			dst = append(dst, "true"...)
		}
	}
	for _, of := range []struct {
		name string
		all  []string
	}{{"resourceSubscriptions", w.uris}, {"taskIds", w.tasks}} {
		if len(of.all) == 0 {
			continue
		}
		member(of.name)
		dst = append(dst, '[')
		for i, text := range of.all {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsonrpc.AppendQuote(dst, []byte(text))
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// subscriptionMeta returns the params._meta of what is sent on a subscription
// with that raw id, opened by a request with it.
func subscriptionMeta(id []byte) []byte {
	return slices.Concat([]byte(`{"`+mcp.MetaSubscriptionID+`":`), id, []byte(`}`))
}

// tagged returns a notification as it is sent on a subscription with that raw
// id: it takes the place of the server's own. A message that is no notification
// with params, or cannot be read, has none.
func tagged(message, id []byte) ([]byte, bool) {
	var m jsonrpc.Message
	if m.Scan(message) != nil || m.Kind != jsonrpc.Notification || m.Params.Empty() || message[m.Params.Start] != '{' {
		return nil, false
	}
	if m.Meta.Empty() {
		return inserted(message, m.Params, slices.Concat([]byte(`"_meta":`), subscriptionMeta(id))), true
	}
	meta := m.Meta.Of(message)
	if meta[0] != '{' {
		return jsonrpc.ReplaceSpan(nil, message, m.Meta, subscriptionMeta(id)), true
	}
	var place jsonrpc.Span
	_ = jsonrpc.Members(meta, func(k, v jsonrpc.Span) bool { // it was read before
		if key, _ := jsonrpc.Unquote(nil, k.Of(meta)); string(key) == mcp.MetaSubscriptionID {
			place = jsonrpc.Span{Start: m.Meta.Start + v.Start, End: m.Meta.Start + v.End}
		}
		return true
	})
	if place.Empty() {
		return inserted(message, m.Meta, slices.Concat([]byte(`"`+mcp.MetaSubscriptionID+`":`), id)), true
	}
	return jsonrpc.ReplaceSpan(nil, message, place, id), true
}

// inserted returns message with a member put first into the object at a span.
func inserted(message []byte, object jsonrpc.Span, member []byte) []byte {
	_ = jsonrpc.Members(object.Of(message), func(_, _ jsonrpc.Span) bool { // it was read before
		member = append(member, ',')
		return false
	})
	at := object.Start + 1
	return jsonrpc.ReplaceSpan(nil, message, jsonrpc.Span{Start: at, End: at}, member)
}
