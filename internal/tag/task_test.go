package tag_test

import (
	"testing"

	"mcp-gateway/internal/tag"
)

var owner = tag.Owner{Key: []byte("key"), Principal: "p", Server: "a"}

func TestTasksAreTheirOwners(t *testing.T) {
	t.Parallel()
	id := owner.Seal("7+x~y")
	if own, ok := owner.Open(id); !ok || own != "7+x~y" {
		t.Errorf("%q is %q, %v", id, own, ok)
	}
	for name, other := range map[string]tag.Owner{
		"principal": {Key: owner.Key, Principal: "q", Server: "a"}, "server": {Key: owner.Key, Principal: "p", Server: "b"},
		"key": {Key: []byte("k"), Principal: "p", Server: "a"}, "no key": {Principal: "p", Server: "a"},
		"shifted": {Key: owner.Key, Principal: "pa", Server: ""},
	} {
		if own, ok := other.Open(id); ok {
			t.Errorf("%s: %q opens as %q", name, id, own)
		}
	}
	if _, ok := (tag.Owner{Principal: "p", Server: "a"}).Open(tag.Owner{Principal: "p", Server: "a"}.Seal("7")); ok {
		t.Error("without a key everybody could make ids up")
	}
	var nobody tag.Owner
	if own, ok := nobody.Open("7"); nobody.Seal("7") != "7" || !ok || own != "7" {
		t.Error("ids change where there are no principals")
	}
}

func FuzzOpenTask(f *testing.F) {
	f.Add(owner.Seal("7"))
	f.Add("7")
	f.Add("AAAAAAAAAAAAAAAA~7")
	f.Fuzz(func(t *testing.T, id string) {
		if own, ok := owner.Open(id); ok && owner.Seal(own) != id {
			t.Errorf("%q opens as %q", id, own)
		}
	})
}
