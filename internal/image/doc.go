// Package image keeps OCI images on this machine: it pulls them by the
// containerd libraries, unpacks them once, and frees them when no owner holds
// them any more. It knows nothing of snapshots or sandboxes; they are owners
// by name. engine/local mounts what it unpacks.
package image
