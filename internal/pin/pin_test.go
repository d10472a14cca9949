package pin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What means the same has one hash, however it is written; what does not has
// another.
func TestHashIsOfTheMeaning(t *testing.T) {
	t.Parallel()
	const base = `{"name":"a","description":"x\u00e9","inputSchema":{"type":"object","maximum":10}}`
	for name, c := range map[string]struct {
		text string
		same bool
	}{
		"order of keys":   {`{"inputSchema":{"maximum":10,"type":"object"},"description":"xé","name":"a"}`, true},
		"white space":     {"{ \"name\" : \"a\",\n\"description\":\"x\\u00E9\",\"inputSchema\":{\"type\":\"object\",\"maximum\":10}}", true},
		"another text":    {strings.Replace(base, "x", "y", 1), false},
		"another schema":  {strings.Replace(base, "10", "11", 1), false},
		"another member":  {strings.Replace(base, `"name"`, `"title":"A","name"`, 1), false},
		"an invisible":    {strings.Replace(base, "x", "x\u200b", 1), false},
		"decomposed":      {strings.Replace(base, `\u00e9`, "e\u0301", 1), false},
		"a list reversed": {strings.Replace(base, "10", `10,"required":["a","b"]`, 1), false},
	} {
		if same := Of([]byte(base)).Hash == Of([]byte(c.text)).Hash; same != c.same {
			t.Errorf("%s: same hash: %v", name, same)
		}
	}
	if Of([]byte(`{"maximum":9007199254740993}`)).Hash == Of([]byte(`{"maximum":9007199254740992}`)).Hash {
		t.Error("large integers lose digits")
	}
	if Of([]byte(`{"maximum":1.50}`)).Hash != Of([]byte(`{"maximum":15e-1}`)).Hash {
		t.Error("the spelling of a number counts")
	}
}

// A value of RFC 8785 section 3.2.3, and the order of section 3.2.3's keys.
func TestCanonicalIsThatOfTheRFC(t *testing.T) {
	t.Parallel()
	got, err := Canonical([]byte(`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
		"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`))
	want := `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
	got, err = Canonical([]byte(`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`))
	if want := "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}"; err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

// What two readers could take for different values is compared byte by byte.
func TestWhatIsAmbiguousIsHashedAsItIs(t *testing.T) {
	t.Parallel()
	a, b := Of([]byte(`{"name":"a","name":"b"}`)), Of([]byte(`{"name":"b","name":"a"}`))
	if a.Hash == b.Hash || !strings.HasPrefix(a.Hash, prefixRaw) || a.Raw == nil || a.Definition != nil {
		t.Errorf("%+v, %+v", a, b)
	}
	if err := a.verify(); err != nil {
		t.Error(err)
	}
	a.Raw[2] = 'N'
	if a.verify() == nil {
		t.Error("another text has the same hash")
	}
}

func TestCanonicalLeavesItsInputAlone(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"b":1, "a":2}`)
	Of(raw)
	if string(raw) != `{"b":1, "a":2}` {
		t.Errorf("%s", raw)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	s := Set{}
	s.Put(Item{Tools, "b"}, Of([]byte(`{"name":"b"}`)))
	first := Set{Tools: {"c": Of([]byte(`{"name":"c"}`))}, Prompts: {}}
	if !s.Add(first) || s.Add(first) {
		t.Error("a kind is trusted once")
	}
	if _, ok := s.Get(Item{Tools, "c"}); ok {
		t.Error("what comes later is trusted")
	}
	s.Put(Item{Tools, "a"}, Entry{})
	s.Put(Item{Prompts, "z"}, Entry{})
	if diff := cmp.Diff([]Item{{Tools, "a"}, {Tools, "b"}, {Prompts, "z"}}, s.Items()); diff != "" {
		t.Error(diff)
	}
	if first[Prompts]["z"].Hash != "" || len(first[Prompts]) > 0 {
		t.Error("the other set has changed")
	}
}
