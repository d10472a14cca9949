//go:build panics

package fault

import (
	"strconv"
	"strings"
	"sync"
)

var (
	mu    sync.Mutex
	armed map[string]int // place: how many more times it is passed, this one included
)

// Arm has the next At of each place in a list panic once; "answer,event*3" has
// the third At of event do so. It takes the place of what was armed before.
func Arm(places string) {
	mu.Lock()
	defer mu.Unlock()
	armed = map[string]int{}
	for place := range strings.SplitSeq(places, ",") {
		name, times, _ := strings.Cut(place, "*")
		n, err := strconv.Atoi(times)
		if err != nil {
			n = 1
		}
		armed[name] = n
	}
}

// At panics if its place is armed, which it is no more after that.
func At(place string) {
	if take(place) {
		panic("injected at " + place)
	}
}

func take(place string) bool {
	mu.Lock()
	defer mu.Unlock()
	if armed[place] > 0 {
		armed[place]--
		return armed[place] == 0
	}
	return false
}
