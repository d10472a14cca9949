package policy

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// largestInteger is the largest that a double tells from its neighbours, which is
// what a parser of JavaScript makes of every number.
const largestInteger = 1<<53 - 1

// surest is how many digits any number may have to survive a double; with more it
// has to be the shortest text of its double, as encoders of doubles write it.
const surest = 15

// number returns a JSON number as an int of CEL, or as a double if it has a
// fraction or an exponent; false if parsers with more or less precision would see
// another one.
func number(raw []byte) (ref.Val, bool) {
	text := string(raw)
	if !bytes.ContainsAny(raw, ".eE") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n > largestInteger || n < -largestInteger {
			return nil, false
		}
		if n == 0 && raw[0] == '-' {
			return types.Double(math.Copysign(0, -1)), true
		}
		return types.Int(n), true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, false
	}
	given := digits(text)
	if f == 0 {
		return types.Double(f), given == ""
	}
	if math.Abs(f) < 0x1p-1022 { // it has lost digits
		return nil, false
	}
	if len(given) > surest && given != digits(strconv.FormatFloat(f, 'e', -1, 64)) {
		return nil, false
	}
	return types.Double(f), true
}

// digits returns those of a number that count: without sign, point, exponent, and
// the zeros around them.
func digits(text string) string {
	mantissa := text
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
	}
	mantissa = strings.Replace(strings.TrimPrefix(mantissa, "-"), ".", "", 1)
	return strings.Trim(mantissa, "0")
}
