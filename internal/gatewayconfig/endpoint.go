package gatewayconfig

// IsReservedView reports whether no view can have the name: clients of HTTP+SSE
// look for their stream and post their messages at such paths.
func IsReservedView(name string) bool { return name == "sse" || name == "messages" }

// ViewName returns the view that a request's path, without its query, asks for,
// at the endpoint at base: nothing for the endpoint itself. False for a path of
// neither form; whether the view exists is another question.
func ViewName(base string, path []byte) (name []byte, ok bool) {
	if string(path) == base {
		return path[:0], true
	}
	if len(base) > 0 && base[len(base)-1] == '/' {
		base = base[:len(base)-1]
	}
	n := len(base)
	if len(path) < n+2 || string(path[:n]) != base || path[n] != '/' || !IsViewName(path[n+1:]) || IsReservedView(string(path[n+1:])) {
		return path[:0], false
	}
	return path[n+1:], true
}

// IsViewName reports whether name is one that a view could have: 1 to 63 letters,
// digits, dots, hyphens or underscores, beginning with a letter or digit. They
// stand in a path as they are.
func IsViewName[T string | []byte](name T) bool {
	if len(name) == 0 || len(name) > 63 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || c != '.' && c != '-' && c != '_') {
			return false
		}
	}
	return true
}
