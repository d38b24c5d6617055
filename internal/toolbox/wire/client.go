package wire

import (
	"net/http"
	"strconv"
	"strings"
)

// SDKBefore reports whether the client is an official SDK before 0.minor, by the
// header in which they tell their version. 0.0.0-dev is one that was built of its
// newest source.
func SDKBefore(r *http.Request, minor int) bool {
	major, rest, _ := strings.Cut(r.Header.Get("X-Daytona-SDK-Version"), ".")
	text, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(text)
	return err == nil && major == "0" && 0 < n && n < minor
}
