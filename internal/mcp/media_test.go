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
