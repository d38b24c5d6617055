package recording

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"
)

var errNoMovie = errors.New("not an MP4 file")

// movieLength reads how long a film is from its header (ISO 14496-12, mvhd). It
// is 0 for one whose length nobody has written down, as while it is recorded.
func movieLength(f io.ReadSeeker) (time.Duration, error) {
	const most = 64 // boxes before the header: others' files may have any number
	for range most {
		kind, size, err := nextBox(f)
		switch {
		case err != nil:
			return 0, err
		case kind == "moov":
			continue // its boxes come next
		case kind == "mvhd":
			return headerLength(f)
		}
		if _, err := f.Seek(size, io.SeekCurrent); err != nil {
			return 0, err
		}
	}
	return 0, errNoMovie
}

// nextBox reads a box's kind, and the size of what follows.
func nextBox(f io.Reader) (kind string, size int64, err error) {
	var head [16]byte
	if _, err := io.ReadFull(f, head[:8]); err != nil {
		return "", 0, errNoMovie
	}
	long, used := uint64(binary.BigEndian.Uint32(head[:4])), uint64(8)
	if long == 1 {
		if _, err := io.ReadFull(f, head[8:]); err != nil {
			return "", 0, errNoMovie
		}
		long, used = binary.BigEndian.Uint64(head[8:]), 16
	}
	if long < used || long > math.MaxInt64/2 {
		return "", 0, errNoMovie
	}
	return string(head[4:8]), int64(long - used), nil
}

func headerLength(f io.Reader) (time.Duration, error) {
	var b [32]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return 0, errNoMovie
	}
	scale, units := uint64(binary.BigEndian.Uint32(b[12:])), uint64(binary.BigEndian.Uint32(b[16:]))
	if b[0] == 1 {
		scale, units = uint64(binary.BigEndian.Uint32(b[20:])), binary.BigEndian.Uint64(b[24:])
	}
	if scale == 0 || b[0] > 1 {
		return 0, errNoMovie
	}
	seconds := float64(units) / float64(scale)
	if seconds > (1000 * time.Hour).Seconds() { // such as what stands for "unknown"
		return 0, nil
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
