// Package layout holds the project to the layers of docs/architecture.md. It has a
// test and no code.
package layout
