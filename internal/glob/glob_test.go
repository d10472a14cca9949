package glob

import (
	"bytes"
	"path"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		allow, deny string // by spaces
		yes, no     string
	}{
		{yes: "a b"},
		{allow: "a", yes: "a", no: "b aa A"},
		{allow: "get_*", yes: "get_ get_a", no: "get xget_a"},
		{allow: "*_admin", yes: "_admin a_admin", no: "admin a_admins"},
		{allow: "a*b*c", yes: "abc aXbYc abbc abcbc", no: "ab ac acb abcX"},
		{allow: "a*a", yes: "aa aba", no: "a"},
		{allow: "*", yes: "a file:///x/y"},
		{allow: "**", yes: "a"},
		{allow: "a?", yes: "a?", no: "ab"},
		{allow: "[a]", yes: "[a]", no: "a"},
		{deny: "*", no: "a"},
		{deny: "del_*", yes: "get", no: "del_a"},
		{allow: "a* b", deny: "ab", yes: "a b aab", no: "ab c"},
		{allow: "*ü*", yes: "für", no: "fur"},
	} {
		r := New(strings.Fields(test.allow), strings.Fields(test.deny))
		for _, name := range strings.Fields(test.yes) {
			if !r.Admits([]byte(name)) {
				t.Errorf("allow %q deny %q refuse %q", test.allow, test.deny, name)
			}
		}
		for _, name := range strings.Fields(test.no) {
			if r.Admits([]byte(name)) {
				t.Errorf("allow %q deny %q admit %q", test.allow, test.deny, name)
			}
		}
	}
}

func TestNoRulesAreNil(t *testing.T) {
	t.Parallel()
	if r := New(nil, []string{}); r != nil || !r.Admits([]byte("a")) || !r.AdmitsURI([]byte("A:"), []byte("A:")) {
		t.Errorf("%v", r)
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"", "a", "file:///a/b.txt", "file:///a/", "https://example.com", "https://example.com/?q=a//b/../c#../x",
		"https://example.com/A/B%20c%25%C3%BC", "urn:isbn:123", "mailto:A@B", "ui://map/a", "test://x/{id}/data",
		"file:///{path}", "file:///{+path}", "{+uri}", "https://x/{/a,b}{.c}", "weather://{city}/now", "db://a/..b/c../...",
		"notes:///ü", "file:///a?x=%2541",
	} {
		if !Plain([]byte(uri)) {
			t.Errorf("%q is not plain", uri)
		}
	}
	for _, uri := range []string{
		"FILE:///a", "https://Example.com/a", "file:///a/../b", "file:///a/./b", "file:///..", "file:///a/.", "../a", "a/../b",
		"file:////a", "file:///a//b", "file:///%61", "file:///%2e%2e/a", "file:///a%2Fb", "file:///a%5cb", `file:///a\b`, "file:///a b",
		"file:///a\tb", "file:///a\nb", "file:///a%00", "file:///a%", "file:///a%4", "file:///a%zz", "file:///a/../{path}", "file:a/../b",
		"file:///{path}/../x", "https://x/%7Euser", "https://x?a=%41", "file:///{/../a", "file:///{a/../../b}", "{/../a}",
	} {
		if Plain([]byte(uri)) {
			t.Errorf("%q is plain", uri)
		}
	}
}

func TestAdmitsURI(t *testing.T) {
	t.Parallel()
	r := New([]string{"docs+file:///public/*"}, nil)
	for own, want := range map[string]bool{
		"file:///public/a": true, "file:///secret": false, "file:///public/../secret": false, "file:///public/%2e%2e/secret": false,
	} {
		if got := r.AdmitsURI([]byte("docs+"+own), []byte(own)); got != want {
			t.Errorf("%s: %v", own, got)
		}
	}
}

func TestMatchingAllocatesNothing(t *testing.T) {
	r := New([]string{"a*b*c*", "exact-name-that-is-rather-long-so-that-no-small-buffer-holds-it"}, []string{"*x*yy*zzz-that-is-longer-than-thirty-two-bytes"})
	name := []byte("exact-name-that-is-rather-long-so-that-no-small-buffer-holds-it")
	if n := testing.AllocsPerRun(100, func() {
		if !r.AdmitsURI(name, name) {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzMatch compares with package path on what both spell alike.
func FuzzMatch(f *testing.F) {
	f.Add("a*b*c", "abbc")
	f.Add("*", "")
	f.Add("**a", "aa")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.ContainsAny(pattern, `?[\/`) || strings.Contains(name, "/") || pattern == "" {
			return
		}
		want, err := path.Match(pattern, name)
		if err != nil {
			return
		}
		if got := New([]string{pattern}, nil).Admits([]byte(name)); got != want {
			t.Errorf("%q on %q: %v", pattern, name, got)
		}
	})
}

// FuzzPlain: what is plain stays what it is when dots and slashes are resolved.
func FuzzPlain(f *testing.F) {
	for _, seed := range []string{"file:///a/b", "a/../b", "x://h//p", "http://H/%2e", "{+uri}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, uri []byte) {
		if !Plain(uri) || bytes.ContainsAny(uri, "?#") {
			return
		}
		_, rest, found := bytes.Cut(uri, []byte("://"))
		i := bytes.IndexByte(rest, '/')
		if !found || i < 0 || bytes.ContainsAny(uri[:len(uri)-len(rest)-3], ":/") {
			return
		}
		if p := string(rest[i:]); p != "/" && path.Clean(p) != strings.TrimSuffix(p, "/") {
			t.Errorf("%q is not plain: %q", uri, path.Clean(p))
		}
	})
}
