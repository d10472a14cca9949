package runner

import (
	"reflect"

	"go.uber.org/zap"

	"mcp-gateway/controlplane/gateway"
)

// changes tells what differs between two gateways, for the log: names of
// servers and settings, never values, which may be secrets. Empty if nothing
// does.
func changes(before, after *gateway.Gateway) []zap.Field {
	was, is := byName(before.Servers), byName(after.Servers)
	var added, removed, changed []string
	for _, s := range after.Servers {
		old, ok := was[s.Name]
		switch {
		case !ok:
			added = append(added, s.Name)
		case !reflect.DeepEqual(old, s):
			for _, field := range differing(old, s) {
				changed = append(changed, s.Name+"."+field)
			}
		}
	}
	for _, s := range before.Servers {
		if _, ok := is[s.Name]; !ok {
			removed = append(removed, s.Name)
		}
	}
	var settings []string
	for _, field := range differing(*before, *after) {
		if field != "Servers" {
			settings = append(settings, field)
		}
	}
	var fields []zap.Field
	for _, f := range []struct {
		key   string
		names []string
	}{{"added", added}, {"removed", removed}, {"changed", changed}, {"settings", settings}} {
		if len(f.names) > 0 {
			fields = append(fields, zap.Strings(f.key, f.names))
		}
	}
	if len(fields) == 0 && !reflect.DeepEqual(before, after) {
		fields = append(fields, zap.Bool("reordered", true))
	}
	return fields
}

func byName(servers []gateway.Server) map[string]gateway.Server {
	m := make(map[string]gateway.Server, len(servers))
	for _, s := range servers {
		m[s.Name] = s
	}
	return m
}

// differing lists the names of the fields in which two structs differ.
func differing[T any](a, b T) []string {
	var names []string
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			names = append(names, va.Type().Field(i).Name)
		}
	}
	return names
}
