package localimage

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// openArchive reads a tar file, as it is or gzipped, of an OCI layout or of
// docker save's older form.
func (i *Image) openArchive(ctx context.Context, file, ref string, platform v1.Platform) error {
	plain, err := i.plain(ctx, file)
	if err != nil {
		return unreadable(file, err)
	}
	members, err := list(ctx, plain)
	if err != nil {
		return unreadable(file, err)
	}
	switch {
	case slices.Contains(members, "oci-layout") && slices.Contains(members, "index.json"):
		dir, err := os.MkdirTemp("", "daytona-push-")
		if err != nil {
			return fmt.Errorf("unpack %s: %w", file, err)
		}
		i.temporary = append(i.temporary, dir)
		if err := unpackLayout(ctx, plain, dir); err != nil {
			return unreadable(file, err)
		}
		i.Image, err = openLayout(dir, ref, platform)
		var told Error
		if errors.As(err, &told) {
			return Error(strings.ReplaceAll(string(told), dir, file))
		}
		return err
	case slices.Contains(members, "manifest.json"):
		return i.openDockerArchive(file, plain, ref)
	}
	return errorf("%s is no archive of an image: it has neither an oci-layout nor a manifest.json.", file)
}

func (i *Image) openDockerArchive(file, plain, ref string) error {
	opener := func() (io.ReadCloser, error) { return os.Open(plain) }
	manifest, err := tarball.LoadManifest(opener)
	if err != nil {
		return unreadable(file, err)
	}
	var known []string
	for _, d := range manifest {
		known = append(known, d.RepoTags...)
	}
	var tag *name.Tag
	if ref != "" {
		t, err := name.NewTag(ref)
		if err != nil || !slices.Contains(known, ref) {
			return errorf("%s has no image %s, but %s.", file, ref, strings.Join(known, ", "))
		}
		tag = &t
	} else if len(manifest) > 1 {
		if len(known) == 0 {
			return errorf("%s has %d images without names: save the one alone.", file, len(manifest))
		}
		return several(file, known)
	}
	if i.Image, err = tarball.Image(opener, tag); err != nil {
		return unreadable(file, err)
	}
	return nil
}

// plain is the file, decompressed where it is compressed.
func (i *Image) plain(ctx context.Context, file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if magic, err := r.Peek(2); err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
		return file, nil
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", err
	}
	return i.spool(ctx, z)
}

// spool keeps a stream in a temporary file.
func (i *Image) spool(ctx context.Context, r io.Reader) (string, error) {
	f, err := os.CreateTemp("", "daytona-push-")
	if err != nil {
		return "", err
	}
	i.temporary = append(i.temporary, f.Name())
	_, err = io.Copy(f, reader{ctx, r})
	return f.Name(), errors.Join(err, f.Close())
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// list names the members of a tar file.
func list(ctx context.Context, file string) (names []string, err error) {
	err = walk(ctx, file, func(h *tar.Header, _ io.Reader) error {
		names = append(names, path.Clean(h.Name))
		return nil
	})
	return names, err
}

func walk(ctx context.Context, file string, visit func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	members := tar.NewReader(f) // which seeks over what is not read
	for {
		h, err := members.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = visit(h, members)
		}
		if err != nil {
			return err
		}
	}
}

// layoutMember is what belongs to an OCI layout; nothing else is unpacked.
var layoutMember = regexp.MustCompile(`^(?:oci-layout|index\.json|blobs/[a-z0-9]+/[a-f0-9]+)$`)

func unpackLayout(ctx context.Context, file, dir string) error {
	return walk(ctx, file, func(h *tar.Header, r io.Reader) error {
		member := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg || !layoutMember.MatchString(member) {
			return nil
		}
		to := filepath.Join(dir, filepath.FromSlash(member))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, reader{ctx, r})
		return errors.Join(err, f.Close())
	})
}
