package pin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func lock() Lock {
	accepted := Of([]byte(`{"name":"sum","description":"Adds."}`))
	accepted.Accepted = []string{"invisible"}
	return Lock{
		"b": {Tools: {
			"sum": accepted,
			"add": Of([]byte(`{"name":"add","description":"<b>\u202e\ud83d\ude00 a\u200bb\ue000é","inputSchema":{"type":"object","maximum":12345678901234567890}}`)),
		}, Prompts: {}},
		"a": {Tools: {"twice": Of([]byte(`{"name":"twice","x":1,"x":2}`))}},
	}
}

func TestLockIsReadBackAsItWas(t *testing.T) {
	t.Parallel()
	text, err := lock().Text()
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(lock(), read); diff != "" {
		t.Error(diff)
	}
	again, err := read.Text()
	if err != nil || string(again) != string(text) {
		t.Errorf("%v: %s", err, cmp.Diff(string(text), string(again)))
	}
}

func TestLockIsReadable(t *testing.T) {
	t.Parallel()
	text, err := lock().Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  \"version\": 1,\n", `"description": "<b>\u202e😀 a\u200bb\ue000é",`, `"maximum": 12345678901234567890`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Index(string(text), `"a":`) > strings.Index(string(text), `"b":`) || strings.Index(string(text), `"add"`) > strings.Index(string(text), `"sum"`) {
		t.Errorf("not sorted:\n%s", text)
	}
}

func TestBrokenLocksAreRefused(t *testing.T) {
	t.Parallel()
	good, err := lock().Text()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, with, want string }{
		"an edited definition": {`"<b>`, `"<i>`, "b: tools: add: hash is not that of the definition"},
		"an edited hash":       {`"hash": "sha256:`, `"hash": "sha256:0`, "hash is not that of the definition"},
		"an unknown member":    {`"version": 1`, `"version": 1, "more": 2`, "more"},
		"another version":      {`"version": 1`, `"version": 2`, "version 2"},
		"an unknown kind":      {`"prompts"`, `"resources"`, "no kind"},
		"a key twice":          {`"prompts": {}`, `"prompts": {}, "prompts": {}`, "duplicate"},
		"text behind it":       {"\n}\n", "\n}\n{}", "behind its end"},
		"conflict marks":       {`  "servers"`, "<<<<<<< HEAD\n  \"servers\"", "no lock file"},
	} {
		text := strings.Replace(string(good), c.old, c.with, 1)
		if text == string(good) {
			t.Fatalf("%s: nothing replaced", name)
		}
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse([]byte(strings.Repeat(" ", MaxLock+1))); err == nil {
		t.Error("a file of any size is read")
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	text, err := lock().Text()
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse([]byte(strings.ReplaceAll(string(text), `"hash": "sha256`, `"hash": "sha257`)))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%v", err)
	}
}
