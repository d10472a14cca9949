package mcp

import "testing"

func TestAccepts(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]bool{
		"application/json": true, "text/html, Application/JSON;q=0.5": true, "*/*": true, "application/*": true,
		"": false, "text/*": false, "application/jsonx": false, "application/json-patch": false,
	} {
		if got := Accepts(list, "application/json"); got != want {
			t.Errorf("%q: %v, want %v", list, got, want)
		}
	}
}

func TestJSONBody(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"application/json": true, "Application/JSON": true, "application/json;charset=utf-8": true, `application/json; charset="UTF-8"`: true,
		"application/json; profile=x": true, "application/json;": true,
		"": false, "text/plain": false, "application/jsonx": false, "application/json, text/plain": false,
		"application/json; charset=utf-7": false, "application/json; charset=utf-16": false, "application/json;charset=utf-8;charset=utf-7": false,
		"application/json; charset*=utf-8''utf-7": false, `application/json; x="; charset=utf-7"`: false, "application/json; Charset=UTF-7": false,
		"application/json; charset=": false,
	} {
		if got := JSONBody(value); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
