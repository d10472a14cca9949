package jsonrpc

import "errors"

// errNotContainer is what Members and Elements say to a valid value of another
// type.
var errNotContainer = errors.New("value has another type")

type syntaxError string

func (e syntaxError) Error() string { return string(e) }

// Valid returns nil if v is one strict JSON value, with or without whitespace
// around it.
func Valid(v []byte) error { return failure(v, skipText(v)) }

func failure(b []byte, end int) error {
	if end < 0 {
		return syntaxError(reason(b, end, MaxDepth))
	}
	return nil
}

// Members calls f for each member of an object, in order, until f returns
// false: key is the raw string token, value the raw value. The text must be one
// strict JSON object; f may have been called before an error is found, and what
// stands behind the member at which f stopped is not read. Duplicate keys are
// all reported: what they mean is the caller's to say.
func Members(object []byte, f func(key, value Span) bool) error {
	b := object
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return otherType(b)
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return failure(b, skipEnd(b, i+1))
	}
	for {
		key := Span{Start: i}
		if i >= len(b) || b[i] != '"' {
			return failure(b, ^i)
		}
		if i = skipString(b, i+1); i < 0 {
			return failure(b, i)
		}
		key.End = i
		if i = skipColon(b, i); i < 0 {
			return failure(b, i)
		}
		value := Span{Start: skipSpace(b, i)}
		if i = skipValue(b, value.Start, 1); i < 0 {
			return failure(b, i)
		}
		value.End = i
		if !f(key, value) {
			return nil
		}
		i = skipSpace(b, i)
		if i < len(b) && b[i] == '}' {
			return failure(b, skipEnd(b, i+1))
		}
		if i >= len(b) || b[i] != ',' {
			return failure(b, ^i)
		}
		i = skipSpace(b, i+1)
	}
}

// Elements calls f for each element of an array, in order, until f returns
// false, under the rules of Members.
func Elements(array []byte, f func(value Span) bool) error {
	b := array
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '[' {
		return otherType(b)
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return failure(b, skipEnd(b, i+1))
	}
	for {
		value := Span{Start: skipSpace(b, i)}
		if i = skipValue(b, value.Start, 1); i < 0 {
			return failure(b, i)
		}
		value.End = i
		if !f(value) {
			return nil
		}
		i = skipSpace(b, i)
		if i < len(b) && b[i] == ']' {
			return failure(b, skipEnd(b, i+1))
		}
		if i >= len(b) || b[i] != ',' {
			return failure(b, ^i)
		}
		i++
	}
}

// otherType returns the error for a text that is not the wanted container.
func otherType(b []byte) error {
	if err := Valid(b); err != nil {
		return err
	}
	return errNotContainer
}
