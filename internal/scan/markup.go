package scan

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

var (
	// hiding is markup whose content a renderer does not show.
	hiding = regexp.MustCompile(`(?i)<!--|^\s*\[//\]:\s*#|\n\s*\[//\]:\s*#|` +
		`<[a-z][^<>]*\sstyle\s*=\s*["'][^"'<>]*(display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0)|` +
		`<[a-z][^<>]*\shidden[\s>=/]`)
	// image is one that carries its content, which may be text for a model.
	image = regexp.MustCompile(`(?i)!\[[^\]]*\]\(\s*<?\s*data:|<img\s[^<>]*src\s*=\s*["']?\s*data:`)
	// tag is one that no renderer knows and models take for structure.
	tag = regexp.MustCompile(`(?i)<(/?)\s*(important|system|instructions?|secret|hidden|critical|urgent|override|admin|assistant|prompt|thinking|tool_?calls?|function_?calls?|note_?to_?(?:ai|llm|model|assistant))\b[^<>]{0,60}>`)
	// turn is how the texts of models are divided.
	turn = regexp.MustCompile(`<\|[a-z_]{2,30}\|>|\[/?INST\]|<</?SYS>>|(?m)^\s*(?:Human|Assistant|System): \S`)
)

// markup looks for text that is hidden from people or dressed up for models.
func (w *walker) markup(s string) {
	angle := strings.IndexByte(s, '<') >= 0
	for _, of := range []struct {
		check Check
		form  *regexp.Regexp
		may   bool // look: expressions are slow
	}{
		{Comment, hiding, angle || strings.Contains(s, "[//]")},
		{DataImage, image, angle || strings.Contains(s, "![")},
		{PseudoTag, turn, angle || containsAny(s, "INST]", "Human:", "Assistant:", "System:")},
	} {
		if !of.may {
			continue
		}
		if at := of.form.FindStringIndex(s); at != nil {
			w.found(of.check, fmt.Sprintf("%q", ascii(s[at[0]:min(len(s), at[1]+30)], 80)))
		}
	}
	if !angle {
		return
	}
	// A word in angle brackets may be a placeholder, <system>: a tag is closed, or
	// shouts.
	open, closed := map[string]bool{}, map[string]bool{}
	for _, m := range tag.FindAllStringSubmatchIndex(s, 64) {
		name := s[m[4]:m[5]]
		lower := strings.ToLower(name)
		if m[2] == m[3] {
			open[lower] = true
		} else {
			closed[lower] = true
		}
		if name == strings.ToUpper(name) || open[lower] && closed[lower] {
			w.found(PseudoTag, fmt.Sprintf("%q", ascii(s[m[0]:m[1]], 80)))
			return
		}
	}
}

const (
	longRun  = 100 // white space on one line
	manyRows = 12  // empty lines
)

// spaces looks for white space that moves what follows out of sight.
func (w *walker) spaces(s string) {
	run, rows, at := 0, 0, 0
	for i, r := range s {
		switch {
		case r == '\n':
			rows++
			run = 0
		case unicode.IsSpace(r):
			run++
		default:
			if run >= longRun || rows > manyRows {
				w.found(Padding, fmt.Sprintf("%d bytes of white space before %q", i-at, ascii(s[i:min(len(s), i+60)], 60)))
				return
			}
			run, rows, at = 0, 0, i+1
		}
	}
}

var (
	files   = regexp.MustCompile(`(?i)\.ssh/|\bid_(?:rsa|ed25519|ecdsa)\b|\.aws/credentials|/etc/(?:passwd|shadow)\b|\.netrc\b|\.git-credentials|\.kube/config|\.npmrc\b|\.pypirc\b|\bmcp\.json\b|claude_desktop_config\.json|(?:^|[\s/'"` + "`" + `(])\.env\b`)
	take    = regexp.MustCompile(`(?i)\b(?:read|open|cat|load|fetch|get|copy|pass|send|include|attach|append|upload|provide|submit|put)\b`)
	conceal = regexp.MustCompile(`(?i)\b(?:do not|don['’]?t|never|without|must not|should not|avoid)\s+(?:ever\s+)?(?:tell|telling|mention|mentioning|inform|informing|notify|notifying|reveal|revealing|disclose|disclosing|alert|alerting|let|letting|show|showing|explain|explaining)\b[^.\n]{0,60}\b(?:user|human|anyone|anybody|operator)s?\b`)
	ordered = regexp.MustCompile(`(?i)\b(?:before|prior to|whenever|each time|every time)\s+(?:you\s+|using|calling|invoking|running|executing)`)
)

// request looks for the request to fetch a secret, or to keep something from the
// user. One sign alone is found in honest text, too: it takes what to fetch, or
// when, together with silence; or all of what, when, and the order to take it.
func (w *walker) request(s string) {
	if len(s) < 20 {
		return
	}
	// Expressions are slow, and most texts have none of these words.
	lower := strings.ToLower(s)
	var hidden string
	if containsAny(lower, "user", "human", "anyone", "anybody", "operator") && containsAny(lower, "not", "n't", "n’t", "dont", "never", "without", "avoid") {
		hidden = conceal.FindString(s)
	}
	var file []int
	if containsAny(lower, ".ssh/", "id_", "credentials", "/etc/", "rc", "kube", "mcp.json", "desktop_config", ".env") {
		file = files.FindStringIndex(s)
	}
	if hidden == "" && file == nil {
		return
	}
	when := ordered.FindString(s)
	switch {
	case hidden != "" && file != nil:
		w.found(Secret, fmt.Sprintf("%q with %q", ascii(s[file[0]:file[1]], 40), ascii(hidden, 80)))
	case hidden != "" && when != "":
		w.found(Secret, fmt.Sprintf("%q with %q", ascii(when, 40), ascii(hidden, 80)))
	case file != nil && when != "" && take.MatchString(s[max(0, file[0]-60):file[0]]):
		w.found(Secret, fmt.Sprintf("%q with %q", ascii(s[file[0]:file[1]], 40), ascii(when, 40)))
	}
}

func containsAny(s string, words ...string) bool {
	for _, word := range words {
		if strings.Contains(s, word) {
			return true
		}
	}
	return false
}
