package httpapi

import (
	"testing"
	"time"
)

func TestTimesOfQueriesAreReadAsClientsWriteThem(t *testing.T) {
	want := time.Date(2026, 11, 27, 20, 34, 11, 711000000, time.UTC)
	for _, text := range []string{
		"2026-11-27T20:34:11.711Z", "2026-11-27T20:34:11.711000+00:00", "2026-11-27T22:34:11.711+02:00",
		"2026-11-27T20:34:11.711000+0000", "2026-11-27T15:04:11.711000-0530", // Python's strftime("%z")
		"2026-11-27T20:34:11.711000", // and of a time without a zone
	} {
		var got moment
		if err := got.UnmarshalText([]byte(text)); err != nil || !got.Equal(want) {
			t.Errorf("%s is read as %v (%v)", text, got, err)
		}
	}
	for _, text := range []string{"", "now", "2026-11-27", "1795811651", "2026-11-27T20:34:11.711+0", "2026-13-27T20:34:11Z", "2026-11-27T20:34:11Z "} {
		if err := new(moment).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a time", text)
		}
	}
}
