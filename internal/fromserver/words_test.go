package fromserver

import "testing"

func TestRarest(t *testing.T) {
	t.Parallel()
	want := map[string]byte{`"method"`: 'm', `"uri"`: 'u', `"taskId"`: 'I', `"elicitations"`: 'c', `inputRequests`: 'R', `\u00`: '\\', `"public"`: 'b'}
	for _, word := range Texts {
		if got := word[Rarest(word)]; got != want[word] {
			t.Errorf("%s: %q, want %q", word, got, want[word])
		}
	}
}
