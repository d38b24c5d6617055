// Package userid says which user and group ids there are in a sandbox. It
// imports nothing; the engine maps them, and whoever meets others says so.
package userid

import "fmt"

// Count of the ids in a sandbox, which are 0 and up.
const Count = 1 << 16

// Nobody is how the kernel shows an id that a sandbox does not have.
const Nobody = 65534

// Inside reports whether sandboxes have the id.
func Inside[T int | uint32](id T) bool { return id >= 0 && uint64(id) < Count }

// Advice is what to do about an id that is outside, to be added to a sentence
// that says whose it is.
var Advice = fmt.Sprintf("the ids of users and groups in a sandbox are 0 to %d, so give it one of them (USER, useradd -u, chown)", Count-1)
