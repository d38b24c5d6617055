// Package images is the recipe of the default snapshots' image, embedded: the
// Dockerfile beside this file and the locks that it installs. It imports nothing
// of the project; package baseimage makes a Debian of the same packages where no
// hub is reachable, and package server builds the variants.
package images

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The variants: each is a stage of the Dockerfile.
const (
	Slim    = "slim"    // Python, Node.js, git and language servers
	Desktop = "desktop" // and a desktop with a browser
	Full    = "full"    // and the libraries and tools that agents ask for
)

// Variants are all of them, each with what the one before it has.
func Variants() []string { return []string{Slim, Desktop, Full} }

//go:embed Dockerfile install-node packages desktop-packages openbox python node
var files embed.FS

//go:embed Dockerfile
var dockerfile string

//go:embed packages
var packages string

// Packages are Debian's that the image has, beside the required ones.
func Packages() []string { return strings.Fields(packages) }

// fromDefault is the Dockerfile's own choice of a base.
const fromDefault = "ARG BASE=debian:trixie-slim\n"

// Dockerfile is the text that builds a variant on a base, which is an image of
// Debian trixie.
func Dockerfile(variant, base string) string {
	return strings.Replace(dockerfile, fromDefault, "ARG BASE="+base+"\n", 1) + "\nFROM " + variant + "\n"
}

// Fill writes the files that the Dockerfile uses into dir.
func Fill(dir string) error {
	if err := os.CopyFS(dir, files); err != nil {
		return fmt.Errorf("write the default image's recipe: %w", err)
	}
	return nil
}

// Version names the recipe by its content.
func Version() string {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		fmt.Fprintf(h, "%d:%s%d:%s", len(path), path, len(text), text)
		return err
	})
	if err != nil {
		panic(err) // an embedded file can be read
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6])
}
