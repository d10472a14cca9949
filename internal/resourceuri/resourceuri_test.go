package resourceuri_test

import (
	"strings"
	"testing"

	"mcp-gateway/internal/resourceuri"
)

func TestLabel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		server, want string
		ok           bool
	}{
		{"weather", "weather", true},
		{"Weather", "weather", true},
		{"my_server+2", "my-server-2", true},
		{"a.b-c", "a.b-c", true},
		{"zürich 云", "z-rich--", true},
		{"to\u212Aen\u017f", "to-en-", true}, // not k and s: folding must not reach ASCII
		{"b\u0161", "b-", true},              // its low byte is an a
		{"b\xffc", "b-c", true},
		{"", "", false},
		{"1st", "", false},
		{"-a", "", false},
		{".a", "", false},
		{"_a", "", false},
		{"Äpfel", "", false},
	} {
		got, err := resourceuri.Label(tt.server)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("Label(%q) = %q, %v, want %q, ok %v", tt.server, got, err, tt.want, tt.ok)
		}
	}
}

func TestJoinAndSplit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ label, uri, joined string }{
		{"b", "file:///a", "b+file:///a"},
		{"b", "", "b+"},
		{"b", "git+ssh://host/a+b", "b+git+ssh://host/a+b"},
		{"b", "+", "b++"},
		{"b", "file:///{path}", "b+file:///{path}"},
		{"b", "{+uri}", "b+{+uri}"},
		{"b", "ui://host/a", "ui://b+host/a"},
		{"b", "ui://c+host/a", "ui://b+c+host/a"},
		{"b", "ui://", "ui://b+"},
		{"b", "ui://{+path}", "ui://b+{+path}"},
		{"b", "UI://host", "b+UI://host"},
		{"b", "ui:/host", "b+ui:/host"},
		{"ui", "host", "ui+host"},
		{"ui", "ui://host", "ui://ui+host"},
		{"a.b-c9", "x", "a.b-c9+x"},
	} {
		if got := resourceuri.Join(tt.label, tt.uri); got != tt.joined {
			t.Errorf("Join(%q, %q) = %q, want %q", tt.label, tt.uri, got, tt.joined)
		}
		label, rest, ok := resourceuri.Split(tt.joined)
		if label != tt.label || rest != tt.uri || !ok {
			t.Errorf("Split(%q) = %q, %q, %v, want %q, %q", tt.joined, label, rest, ok, tt.label, tt.uri)
		}
	}
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		changed, resource string
		want              bool
	}{
		{"file:///x", "file:///x", true},
		{"file:///x/child", "file:///x", true},
		{"file:///x/child/of", "file:///x/", true},
		{"file:///x#part", "file:///x", true},
		{"file:///x?page=2", "file:///x", true},
		{"file:///xy", "file:///x", false},
		{"file:///", "file:///x", false},
		{"file:///y/x", "file:///x", false},
		{"a:b", "", false},
	} {
		if got := resourceuri.Within(tt.changed, tt.resource); got != tt.want {
			t.Errorf("Within(%q, %q) = %v", tt.changed, tt.resource, got)
		}
	}
}

func TestJoinWithoutLabel(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"", "file:///a", "ui://a", "a+b"} {
		if got := resourceuri.Join("", uri); got != uri {
			t.Errorf("Join(\"\", %q) = %q", uri, got)
		}
	}
}

func TestSplitWithoutLabel(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"", "+", "+file:///a", "file:///a", "file:///a+b", "B+x", "1+x", "b_c+x", "-b+x", "b c+x", "é+x",
		"ui://host", "ui://", "ui://+host", "ui://B+host", "ui://host/a+b",
	} {
		label, rest, ok := resourceuri.Split(uri)
		if label != "" || rest != uri || ok {
			t.Errorf("Split(%q) = %q, %q, %v, want it untouched", uri, label, rest, ok)
		}
	}
}

// The template b+{+uri} expands to such a URI. It means what Join would write
// as ui://b+host.
func TestSplitOfExpandedTemplate(t *testing.T) {
	t.Parallel()
	if label, rest, ok := resourceuri.Split("b+ui://host"); label != "b" || rest != "ui://host" || !ok {
		t.Errorf("Split = %q, %q, %v", label, rest, ok)
	}
}

// A foreign URI can look marked: that is why the caller checks the label.
func TestSplitOfForeignURI(t *testing.T) {
	t.Parallel()
	if label, rest, ok := resourceuri.Split("git+ssh://host"); label != "git" || rest != "ssh://host" || !ok {
		t.Errorf("Split = %q, %q, %v", label, rest, ok)
	}
}

// FuzzRoundTrip takes any server name and URI, and any text to split.
func FuzzRoundTrip(f *testing.F) {
	f.Add("weather", "file:///a")
	f.Add("My Server", "ui://host/a+b")
	f.Add("ui", "://x")
	f.Add("b", "{+uri}")
	f.Add("b", "")
	f.Add("b", "ui://c+")
	f.Fuzz(func(t *testing.T, server, uri string) {
		if label, rest, ok := resourceuri.Split(uri); ok {
			if got := resourceuri.Join(label, rest); got != uri && !strings.HasPrefix(rest, "ui://") {
				t.Errorf("Join(Split(%q)) = %q", uri, got)
			}
		} else if label != "" || rest != uri {
			t.Errorf("Split(%q) = %q, %q, false", uri, label, rest)
		}
		label, err := resourceuri.Label(server)
		if err != nil {
			return
		}
		if again, err := resourceuri.Label(label); err != nil || again != label {
			t.Errorf("Label(%q) = %q, %v: not a label itself", label, again, err)
		}
		joined := resourceuri.Join(label, uri)
		gotLabel, rest, ok := resourceuri.Split(joined)
		if gotLabel != label || rest != uri || !ok {
			t.Errorf("Split(%q) = %q, %q, %v, want %q, %q", joined, gotLabel, rest, ok, label, uri)
		}
		if strings.HasPrefix(joined, "ui://") != strings.HasPrefix(uri, "ui://") {
			t.Errorf("%q became %q", uri, joined)
		}
	})
}
