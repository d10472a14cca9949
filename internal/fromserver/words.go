package fromserver

import (
	"bytes"
	"strings"
)

// Words is a set of texts. What a message is to be changed for, or refused for,
// has one of them in it: a message without any is fit for a client as it is, and a
// search for them costs next to nothing.
type Words uint8

// The words. A server that spells the keys of the first four with escapes only
// keeps its own links and requests from working. An input that is asked for with
// escapes in the key is asked for all the same: each letter of ASCII that is
// escaped begins so.
const (
	WordMethod Words = 1 << iota
	WordURI
	WordTask
	WordElicitations
	WordInputs
	WordEscape
	WordPublic
)

// Texts are the words by the number of their bit.
var Texts = [...]string{`"method"`, `"uri"`, `"taskId"`, `"elicitations"`, `inputRequests`, `\u00`, `"public"`}

// Rarest is the place of the byte of a word of Texts that other texts have least of.
func Rarest(word string) int {
	const common = `"etaoinshrdlcumwfgypbvkjxqz` // in this order
	at, rarest := 0, -1
	for i := range len(word) {
		rank := strings.IndexByte(common, word[i])
		if rank < 0 {
			rank = len(common)
		}
		if rank > rarest {
			at, rarest = i, rank
		}
	}
	return at
}

// WordsOf are those that Rewrite looks for.
func WordsOf(label string) Words {
	if label == "" {
		return WordMethod | WordElicitations
	}
	return WordMethod | WordElicitations | WordURI
}

// In reports whether one of the words is in a message.
func (w Words) In(message []byte) bool {
	for i, text := range &Texts {
		if w&(1<<i) != 0 && bytes.Contains(message, []byte(text)) {
			return true
		}
	}
	return false
}
