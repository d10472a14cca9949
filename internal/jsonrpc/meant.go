package jsonrpc

// MeantID returns the raw id of the response that a text was meant to be which Scan
// does not read, for what is wrong inside of it: a string with half a surrogate pair,
// too many levels, a value that is cut. Who waits for the answer can be told then.
// Nil if the text has no id or several, or is no response.
func MeantID(text []byte) (id []byte) {
	i := skipSpace(text, 0)
	if i >= len(text) || text[i] != '{' {
		return nil
	}
	answers := false
	for depth := 0; i < len(text); {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			start := i + 1
			i = meantString(text, start)
			value := skipColon(text, i)
			if depth != 1 || value < 0 {
				continue
			}
			switch string(text[start : i-1]) {
			case "result", "error":
				answers = true
			case "method":
				return nil
			case "id":
				value = skipSpace(text, value)
				if i = skipValue(text, value, depth); i < 0 || id != nil || !isID(text[value]) {
					return nil
				}
				id = text[value:i]
			}
			continue
		}
		i++
	}
	if !answers {
		return nil
	}
	return id
}

// meantString returns where a string ends whose opening quote stands before i,
// whatever is in it.
func meantString(text []byte, i int) int {
	for ; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}
