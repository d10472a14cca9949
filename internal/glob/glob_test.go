package glob

import (
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

func TestMatchingAllocatesNothing(t *testing.T) {
	const uri = "https://exact.example.com:8443/name/{id}/that-is-rather-long%20so-that-no-%C3%BC-small-buffer-holds-it/?q=%2B"
	r := New([]string{"a*b*c*", uri}, []string{"*x*yy*zzz-that-is-longer-than-thirty-two-bytes", "https://example.com/*"})
	name := []byte(uri)
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
