package tag_test

import (
	"strings"
	"testing"

	"mcp-gateway/internal/tag"
)

var owner = tag.Owner{Key: []byte("key"), Principal: "p", Server: "a", Tool: "a_tool~1~x"}

func TestTasksAreTheirOwners(t *testing.T) {
	t.Parallel()
	id := owner.Seal("7+x~y")
	for _, asked := range []string{"", owner.Tool, "another"} {
		by := owner
		by.Tool = asked
		if tool, own, ok := by.Open(id); !ok || own != "7+x~y" || tool != owner.Tool {
			t.Errorf("%q is %q of %q, %v", id, own, tool, ok)
		}
	}
	for name, other := range map[string]tag.Owner{
		"principal": {Key: owner.Key, Principal: "q", Server: "a"}, "server": {Key: owner.Key, Principal: "p", Server: "b"},
		"key": {Key: []byte("k"), Principal: "p", Server: "a"}, "no key": {Principal: "p", Server: "a"},
		"shifted": {Key: owner.Key, Principal: "pa", Server: ""},
	} {
		if _, own, ok := other.Open(id); ok {
			t.Errorf("%s: %q opens as %q", name, id, own)
		}
	}
	seal, rest, _ := strings.Cut(id, "~")
	for _, forged := range []string{
		"", seal, seal + "~", seal + "~7", seal + "~0~~7+x~y", seal + "~1~x~7+x~y", seal + "~+" + rest, seal + "~0" + rest, seal + "~-1~x", seal + "~99~x", seal + "~10~a_tool~1~x",
		strings.Replace(id, "a_tool", "b_tool", 1), id + "z", "B" + id[1:], strings.TrimSuffix(id, "y"),
	} {
		if tool, own, ok := owner.Open(forged); ok {
			t.Errorf("%q opens as %q of %q", forged, own, tool)
		}
	}
	if _, _, ok := (tag.Owner{Principal: "p", Server: "a"}).Open(tag.Owner{Principal: "p", Server: "a"}.Seal("7")); ok {
		t.Error("without a key everybody could make ids up")
	}
	var nobody tag.Owner
	if _, own, ok := nobody.Open("7"); nobody.Seal("7") != "7" || !ok || own != "7" {
		t.Error("ids change where there are no principals")
	}
}

func FuzzOpenTask(f *testing.F) {
	f.Add(owner.Seal("7"))
	f.Add("7")
	f.Add("AAAAAAAAAAAAAAAA~7")
	f.Add("AAAAAAAAAAAAAAAA~1~x~7")
	f.Fuzz(func(t *testing.T, id string) {
		by := owner
		tool, own, ok := owner.Open(id)
		if by.Tool = tool; ok && by.Seal(own) != id {
			t.Errorf("%q opens as %q of %q", id, own, tool)
		}
	})
}
