package load

import (
	"testing"
	"time"
)

func TestQuantiles(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, tc := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{hundred, 0, 1}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100},
		{[]time.Duration{3, 1, 2}, 0.5, 2}, {[]time.Duration{3, 1, 2}, 0.99, 3}, {[]time.Duration{7}, 0.5, 7},
	} {
		if got := quantiles(tc.of)(tc.q); got != tc.want {
			t.Errorf("quantile %v of %d values is %d, want %d", tc.q, len(tc.of), got, tc.want)
		}
	}
}
