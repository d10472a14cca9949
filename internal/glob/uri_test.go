package glob

import (
	"bytes"
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"file:///a/b.txt", "file:///a/", "https://example.com/", "https://example.com/?q=a//b/../c", "https://example.com:8443/A/B%20c%25%C3%BC",
		"urn:isbn:123", "mailto:A@B", "ui://map/a", "test://x/{id}/data", "file:///{path}", "file:///{+path}", "file://{+path}", "{+uri}",
		"https://x{/a,b}{.c}", "weather://{city}/now", "db://a/..b/c../...", "notes:///%C3%BC", "notes://n%20n/a", "file:///a%20",
		"file:///data/R&D/x", "x:///a/b@c:d;e=1!$'(),*+", "x://h/?a=1&b=%2B", "x://h/a?b?c/d", "x://h/{?q*}", "x://h{?q,r:3}", "http://127.0.0.1/",
		"http://a.b-c.example/", "http://1.a/", "x://h:8080/", "x://h:{port}/", "x://", "x:///", "file:///C:/a", "file:///%E2%82%AC%F0%9F%98%80",
		"file:///100%25", "file:///%25zz", "notes:///a%5B1%5D%5E%60%7C%22%3C%3E",
	} {
		if !Plain([]byte(uri)) {
			t.Errorf("%q is not plain", uri)
		}
	}
	for _, uri := range []string{
		// no scheme, another case
		"", "a", "/etc/passwd", "//h/a", "../a", "a/../b", ":a", "1a:b", "a b:c", "x:", "?a", "FILE:///a", "fIle:///a", "https://Example.com/a",
		// authority
		"file:/a", "file:a", "file://localhost/a", "file://host/a", "file://", "http:/h/a", "http:h", "http:///a", "http://h", "ws://h?q", "x:/a",
		"x://u@h/", "x://u:p@h/", "x://@h/", "http://h:80/", "https://h:443/", "ws://h:80/", "wss://h:443/", "ftp://h:21/", "x://h:/", "x://h:080/",
		"x://h:1:2/", "x://h:a/", "x://h:123456/", "x://:1/", "http://h./", "x://h./", "x://../a", "x://.h/", "x://a..b/", "http://h%41/", "http://h%C3%BC/",
		"http://127.1/", "http://0x7f.1/", "http://0x7f000001/", "http://2130706433/", "http://0177.0.0.1/", "http://127.0.0.256/", "http://1.2.3.4.5/",
		"http://[::1]/", "x://[::1]/", "http://a+b/",
		// path
		"file:///a/../b", "file:///a/./b", "file:///..", "file:///a/.", "file:////a", "file:///a//b", "file:a/../b", "x:a//b", `file:///a\b`, `file:\\\a`,
		"file:///a b", " file:///a", "file:///a ", "file:///a\tb", "file:///a\nb", "file:///a\x00", "file:///a\x7f", "file:///ü", "file:///a\"", "file:///a<b>",
		"file:///a[1]", "file:///a^", "file:///a`", "file:///a|b",
		// escapes
		"file:///%61", "file:///%2e%2e/a", "file:///a%2Fb", "file:///a%5cb", "file:///a%5Cb", "file:///a%00", "file:///a%0A", "file:///a%", "file:///a%4",
		"file:///a%zz", "https://x/%7Euser", "https://x/?a=%41", "file:///R%26D", "file:///a%40b", "file:///a%3Ab", "file:///a%2Bb", "file:///%c3%bc",
		"file:///%C3", "file:///%C3a", "file:///%C0%AF", "file:///%ED%A0%80", "file:///%FF", "file:///%F0%9F%98", "file:///a%2541", "file:///a%252E", "file:///%7Bx%7D",
		"file:///a%23b", "file:///a%3Fb",
		// query and fragment
		"file:///a#", "file:///a#b", "x://h/?q#", "x://h/?", "file:///a?", "file:///a?b", "x:///a?b=c+d", "x:///a?b=%3F", "x:///a?b=%26",
		// templates
		"file:///a/../{path}", "file:///{path}/../x", "file:///{/../a", "file:///{a/../../b}", "{/../a}", "file:///{", "file:///}", "file:///{}", "file:///{a",
		"file:///{#a}", "file:///{a{b}}", "{s}://x", "file:///{a b}", "{",
	} {
		if Plain([]byte(uri)) {
			t.Errorf("%q is plain", uri)
		}
	}
}

// TestSpellingsOfTheDenied lists what must not get past a rule by being spelled
// in another way.
func TestSpellingsOfTheDenied(t *testing.T) {
	t.Parallel()
	r := New(nil, []string{"file:///secret/*", "file:///etc/passwd", "file:///data/R&D/*", "file:///%C3%BC/*", "https://h/secret", "*.key", "db://internal/*"})
	for _, uri := range []string{
		"file:///secret/x", "file:/secret/x", "file:secret/x", "file://localhost/secret/x", "file://LOCALHOST/secret/x", "file://127.0.0.1/secret/x",
		"FILE:///secret/x", "file:////secret/x", "file:///./secret/x", "file:///a/../secret/x", "file:///%73ecret/x", "file:///secret%2Fx", "file:///secret%2fx",
		`file:\\\secret\x`, "file:///secret\\x", "file:///sec\nret/x", " file:///secret/x", "file:///secret", "file:///secret/", "/secret/x", "//secret/x",
		"file:///etc/passwd", "file:///etc/passwd#", "file:///etc/passwd?", "file:///etc/passwd#a", "file:///etc/passwd?a", "file:///etc/passwd%00",
		"file:///etc/passwd/", "file:///etc/passwd%23a", "file:///etc/passwd%3Fa", "file:///etc/passwd%0A", "file:///etc/%2570asswd",
		"file:///data/R&D/x", "file:///data/R%26D/x", "file:///%C3%BC/x", "file:///%c3%bc/x", "file:///ü/x",
		"https://h/secret", "https://h:443/secret", "https://h:/secret", "https://u@h/secret", "https://h./secret", "https://H/secret", "https:/h/secret",
		"https:h/secret", "https://h/secret/", "https://h/secret?", "https://h/secret?a=1", "https://h/secret#a", "https://h//secret", "https://h/secret{?q}",
		"x:///a.key", "x:///a.key?b", "x:///a.key/", "x:///a%2Ekey", "db://internal", "db://internal/", "db://internal/a?b", "db://internal?b",
	} {
		if r.AdmitsURI([]byte(uri), []byte(uri)) {
			t.Errorf("%q is admitted", uri)
		}
	}
	for _, uri := range []string{"file:///public/x", "file:///etc/passwd.md", "file:///etc/", "https://h/secrets?a=1", "x:///a.keys", "db://internals/a", "file:///{+path}"} {
		if !r.AdmitsURI([]byte(uri), []byte(uri)) {
			t.Errorf("%q is refused", uri)
		}
	}
}

func TestAdmitsURI(t *testing.T) {
	t.Parallel()
	r := New([]string{"docs+file:///public/*", "docs+x://*.md", "docs+x://h/?q=*", "docs+x://h/e?e"}, []string{"*token=1*"})
	for own, want := range map[string]bool{
		"file:///public/a": true, "file:///secret": false, "file:///public/../secret": false, "file:///public/%2e%2e/secret": false,
		"x://h/a.md": true, "x://h/a.md?v=1": true, "x://h/secret?v=.md": false, "x://h/?q=a": true, "x://h/": false, "x://h/e?e": true, "x://h/e?f": false,
		"x://h/?q=1&token=1": false, "x://h/a.md{?v}": true,
	} {
		if got := r.AdmitsURI([]byte("docs+"+own), []byte(own)); got != want {
			t.Errorf("%s: %v", own, got)
		}
	}
}

func TestCanMatch(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"*", "**", "file:///*", "*.key", "*.KEY", "file:*", "file:/*", "file*", "*:*", "*://*", "*/secret/*", "http*", "https://*", "https://*/a", "https://*.example.com/*",
		"cal://{user}/*", "file:///{*", "*}", "*?q=*", "x://h?*", "*%20*", "*%2*", "*%C3*", "*%BC/*", "file:///%C3%BC/*", "*%2B", "urn:*", "git+ssh://*", "*+file:///a",
		"x://h:*/a", "file:///{+path}{*}", "file:///{/path*}", "a*b*c*d*e", "http://127.0.0.*/", "*:8080/*", "*@*", "*//*", "*/../*", "x:///a?b=*",
	} {
		if !CanMatch(p) {
			t.Errorf("%q matches nothing", p)
		}
	}
	for p, want := range map[string]string{
		"file:/secret/*": "file:///secret/*", "file://localhost/secret/*": "file:///secret/*", "FILE:///a": "file:///a", "file:///ü/*": "file:///%C3%BC/*",
		"file:///%c3%bc/*": "file:///%C3%BC/*", "file:///R%26D/*": "file:///R&D/*", "file:///a b/*": "file:///a%20b/*", "file:///a#*": "file:///a", "https://H/*": "https://h/*",
		"https://h:443/*": "https://h/*", "https://h": "https://h/", "https://u@h/a": "https://h/a", "x:/a": "x://a", `file:///a\*`: "file:///a/*", "file:///a?b=*": "file:///a",
		"/etc/*": "", "etc": "", "file:///a/../*": "", "file:///a//b*": "", "*%2F*": "*/*", "*%00*": "", "*#*": "*", "file:*/../*": "", "file:///*//*": "", "file://host/*": "", "http://127.1/*": "", "x:///a?*+*": "x:///a?*%2B*",
		"x:///%2A": "x:///*", "x:///a%7Bb*": "",
	} {
		if CanMatch(p) {
			t.Errorf("%q matches something", p)
		}
		if got, ok := Suggest(p); ok != (want != "") || ok && got != want {
			t.Errorf("%q: suggests %q %v, want %q", p, got, ok, want)
		}
	}
}

// normal is what a lenient server may make of a URI: WHATWG's parser, then the
// path decoded and cleaned, without query, user, default port and fragment.
func normal(uri string) string {
	uri = strings.Trim(uri, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
	uri = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(uri)
	scheme, rest, found := strings.Cut(uri, ":")
	if !found || strings.ContainsAny(scheme, "/?#") {
		return uri
	}
	scheme = strings.ToLower(scheme)
	ports := map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443", "ftp": "21", "file": ""}
	port, special := ports[scheme]
	if special {
		rest = strings.ReplaceAll(rest, `\`, "/")
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	host, p := "", rest
	switch {
	case scheme == "file":
		if after, ok := strings.CutPrefix(rest, "//"); ok {
			if i := strings.IndexByte(after, '/'); i >= 0 {
				host, p = after[:i], after[i:]
			} else {
				host, p = after, ""
			}
		}
		if strings.EqualFold(host, "localhost") {
			host = ""
		}
	case special || strings.HasPrefix(rest, "//"):
		after := strings.TrimPrefix(rest, "//")
		if special {
			after = strings.TrimLeft(rest, "/")
		}
		if i := strings.IndexByte(after, '/'); i >= 0 {
			host, p = after[:i], after[i:]
		} else {
			host, p = after, ""
		}
		host = host[strings.LastIndexByte(host, '@')+1:]
		if special {
			host = decoded(host)
		}
		host = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(host), ":"), ":"+port)
		host = strings.TrimSuffix(host, ".")
	case !strings.HasPrefix(rest, "/"):
		return scheme + ":" + decoded(rest)
	}
	return scheme + "://" + host + path.Clean("/"+decoded(p))
}

// decoded decodes what is an escape, any number of times.
func decoded(s string) string {
	for {
		var out []byte
		for i := 0; i < len(s); i++ {
			if s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0 {
				out = append(out, byte(hexDigit(s[i+1])<<4|hexDigit(s[i+2])))
				i += 2
				continue
			}
			out = append(out, s[i])
		}
		if string(out) == s {
			return s
		}
		s = string(out)
	}
}

// FuzzDenied: what is admitted is not what is denied, also not for a server that
// normalises URIs or parses them as package url does.
func FuzzDenied(f *testing.F) {
	denied := []string{"file:///secret/*", "file:///etc/passwd", "file:///data/R&D/*", "file:///%C3%BC/*", "https://h/secret", "http://h:8080/a%20b/*", "db://internal/*"}
	rules := New(nil, denied)
	var normals []string
	for _, p := range denied {
		if !CanMatch(p) {
			f.Fatal(p)
		}
		n := normal(p)
		normals = append(normals, n)
		if root, found := strings.CutSuffix(n, "/*"); found {
			normals = append(normals, root)
		}
	}
	lenient := New(nil, normals)
	for _, seed := range []string{
		"file:///secret/x", "file:/secret/x", "file://localhost/etc/passwd", "file:///etc/passwd#", "file:///etc/passwd?a", "file:///data/R%26D/x", "file:///ü/x",
		"https://H:443/a/../secret", "https:h/%73ecret", "http://u@h:8080/a%20b//c", "db://internal/{x}", "db://INTERNAL./x", "file:///{+path}", `file:\secret\x`, "{+uri}",
		"https://h/secret/", "x:a", "db://internal", "file:///a%2520b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, uri []byte) {
		kept := bytes.Clone(uri)
		if !rules.AdmitsURI(uri, uri) {
			return
		}
		if !bytes.Equal(kept, uri) {
			t.Fatal("changed")
		}
		if n := normal(string(uri)); !lenient.Admits([]byte(n)) {
			t.Errorf("%q is admitted, and %q is denied", uri, n)
		}
		u, err := url.Parse(string(uri))
		if err != nil {
			return // some templates, and a space in a host
		}
		if u.User != nil || u.Fragment != "" || u.Host != strings.ToLower(u.Host) && !strings.Contains(u.Host, "%") && u.Scheme != "" && isASCII(u.Host) {
			t.Errorf("%q is plain: %+v", uri, u)
		}
		if n := u.Scheme + "://" + u.Host + path.Clean("/"+u.Path); u.Opaque == "" && !lenient.Admits([]byte(n)) {
			t.Errorf("%q is admitted, and %q is denied", uri, n)
		}
	})
}

// FuzzCanMatch: a pattern that matches a plain URI is not refused.
func FuzzCanMatch(f *testing.F) {
	f.Add("file:///*", "file:///a/b")
	f.Add("*%2*", "x://h/%20")
	f.Add("*:*?*", "x://h/?a")
	f.Fuzz(func(t *testing.T, pattern, uri string) {
		if Plain([]byte(uri)) && New([]string{pattern}, nil).Admits([]byte(uri)) && !CanMatch(pattern) {
			t.Errorf("%q matches %q", pattern, uri)
		}
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
