package load

import (
	"bytes"
	"slices"
	"time"
)

// line is one line of a log as it stands inside a JSON string: letters,
// escapes and a character outside ASCII, as an argument of a tool has them.
const line = `12:00:07 INFO \"worker 7\" caf\u00e9 naïve: 42 rows, ok\n`

// Text returns the inside of a JSON string of exactly n bytes.
func Text(n int) []byte {
	text := bytes.Repeat([]byte(line), n/len(line))
	return append(text, bytes.Repeat([]byte("x"), n-len(text))...)
}

// quantiles sorts d and returns its quantile function: the smallest value that
// is not less than the fraction q of all.
func quantiles(d []time.Duration) func(q float64) time.Duration {
	slices.Sort(d)
	return func(q float64) time.Duration {
		i := int(q * float64(len(d)))
		if float64(i) == q*float64(len(d)) {
			i--
		}
		return d[min(max(i, 0), len(d)-1)]
	}
}
