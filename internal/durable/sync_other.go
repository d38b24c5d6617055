//go:build !unix

package durable

// SyncDir does nothing: the client runs on systems that do not sync directories.
func SyncDir(string) error { return nil }
