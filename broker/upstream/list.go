package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"mcp-gateway/internal/jsonrpc"
	"mcp-gateway/internal/mcp"
)

// kinds is a set of what a server can offer and announce changes of.
type kinds uint8

const (
	tools kinds = 1 << iota
	prompts
	resources // and resource templates, which change with one notification

	everything = tools | prompts | resources
)

// changedBy returns the kinds that a notification announces changes of.
func changedBy(method []byte) kinds {
	switch string(method) {
	case mcp.MethodNotifyToolsChanged:
		return tools
	case mcp.MethodNotifyPromptsChanged:
		return prompts
	case mcp.MethodNotifyResourceChanged:
		return resources
	}
	return 0
}

// Lists holds the items of a server, each the raw JSON value as it stood in the
// server's answer, in its order, all pages joined. Immutable.
type Lists struct {
	Tools, Prompts, Resources, Templates [][]byte
}

func (l *Lists) equal(other *Lists) bool {
	same := func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
	return same(l.Tools, other.Tools) && same(l.Prompts, other.Prompts) &&
		same(l.Resources, other.Resources) && same(l.Templates, other.Templates)
}

// limits bound one list of a server.
type limits struct {
	pages int
	items int
	bytes int
}

var errNoEnd = errors.New("nextCursor leads back to a page that was read")

// read lists what the set names and returns old with those lists replaced. It
// reads on after a failure, which leaves the old list: got tells which were
// read.
func (l *link) read(ctx context.Context, set kinds, old *Lists, lim limits) (lists *Lists, got kinds, err error) {
	next := *old
	var errs []error
	for _, part := range []struct {
		kind   kinds
		method string
		member string
		items  *[][]byte
	}{
		{tools, mcp.MethodToolsList, `"tools"`, &next.Tools},
		{prompts, mcp.MethodPromptsList, `"prompts"`, &next.Prompts},
		{resources, mcp.MethodResourcesList, `"resources"`, &next.Resources},
		{resources, mcp.MethodResourcesTemplates, `"resourceTemplates"`, &next.Templates},
	} {
		if set&part.kind == 0 {
			continue
		}
		items, err := l.list(ctx, part.method, part.member, lim)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", part.method, err))
			if errors.Is(err, ErrSessionGone) || errors.As(err, new(unreachable)) || ctx.Err() != nil {
				break // nothing was reached: the others would fail alike
			}
			continue
		}
		*part.items = items
		got |= part.kind
	}
	return &next, got, errors.Join(errs...)
}

// list reads all pages of one list (2025-11-25, server/utilities/pagination).
// A server that does not know the method has an empty list: many declare
// resources and implement no templates.
func (l *link) list(ctx context.Context, method, member string, lim limits) ([][]byte, error) {
	var items [][]byte
	size := 0
	seen := map[string]bool{}
	var params []byte
	for range lim.pages {
		answer, err := l.call(ctx, method, params)
		if rpc := (*rpcError)(nil); errors.As(err, &rpc) && rpc.code == mcp.CodeMethodNotFound && params == nil {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		page, cursor, err := decodePage(answer.result, member)
		if err != nil {
			return nil, err
		}
		l.keep(method, answer.result, params == nil)
		items = append(items, page...)
		size += len(answer.result)
		switch {
		case len(items) > lim.items:
			return nil, fmt.Errorf("more than %d items", lim.items)
		case size > lim.bytes:
			return nil, fmt.Errorf("more than %d bytes", lim.bytes)
		case cursor == nil:
			return items, nil
		case seen[string(cursor)]:
			return nil, errNoEnd
		}
		seen[string(cursor)] = true
		params = append(append([]byte(`{"cursor":`), cursor...), '}')
	}
	return nil, fmt.Errorf("more than %d pages", lim.pages)
}

// decodePage returns the items of a list result, and the raw cursor of the next
// page or nil. Both are parts of result. An empty string is a cursor; null, sent
// by some servers on the last page, is none.
func decodePage(result []byte, member string) (items [][]byte, cursor []byte, err error) {
	var array []byte
	err = jsonrpc.Members(result, func(key, value jsonrpc.Span) bool {
		switch string(key.Of(result)) {
		case member:
			array = value.Of(result)
		case `"nextCursor"`:
			cursor = value.Of(result)
		}
		return true
	})
	if err != nil {
		return nil, nil, fmt.Errorf("the result is no object: %w", err)
	}
	if string(cursor) == "null" {
		cursor = nil
	}
	if cursor != nil && cursor[0] != '"' {
		return nil, nil, errors.New("nextCursor is no string")
	}
	err = jsonrpc.Elements(array, func(value jsonrpc.Span) bool {
		items = append(items, value.Of(array))
		return true
	})
	if err != nil {
		return nil, nil, fmt.Errorf("the result has no array %s: %w", member, err)
	}
	return items, cursor, nil
}
