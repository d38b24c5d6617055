// Package buildcontext tests that uploads of build contexts reach the server's store.
package buildcontext
