package localimage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// openStore saves an image of a store: docker's by its daemon's socket, podman's,
// which has no daemon, by its program. Without from, docker is asked first.
func (i *Image) openStore(ctx context.Context, image, from string, platform v1.Platform) error {
	var file string
	err := errNotThere
	if from != Podman {
		file, err = i.saveDocker(ctx, image, platform)
	}
	if from == Podman || from == "" && errors.Is(err, errNotThere) {
		var podmanErr error
		if file, podmanErr = i.savePodman(ctx, image); podmanErr == nil || from == Podman || !errors.Is(podmanErr, errNotThere) {
			err = podmanErr
		}
	}
	var told Error
	switch {
	case err == nil:
		return i.openArchive(ctx, file, "", platform)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &told):
		return told
	case errors.Is(err, errNotThere) && from == "":
		return errorf("Image %s is in neither docker's nor podman's store, and no file of that name exists: see docker images and podman images.", image)
	case errors.Is(err, errNotThere):
		return errorf("Image %s cannot be had: %s.", image, strings.TrimPrefix(err.Error(), errNotThere.Error()+": "))
	}
	return errorf("Image %s cannot be had: %v.", image, err)
}

// errNotThere says that a store, or an image in it, does not exist.
var errNotThere = errors.New("not there")

// saveDocker writes what the docker daemon has of the image into a file.
func (i *Image) saveDocker(ctx context.Context, image string, platform v1.Platform) (file string, err error) {
	network, address, err := dockerHost()
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}}
	defer client.CloseIdleConnections()
	get := func(what string) (*http.Response, error) {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/images/"+(&url.URL{Path: image}).EscapedPath()+"/"+what, nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(q)
		if err != nil {
			return nil, fmt.Errorf("%w: docker does not answer at %s: %w", errNotThere, address, err)
		}
		if resp.StatusCode != http.StatusOK {
			defer resp.Body.Close()
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			if resp.StatusCode == http.StatusNotFound {
				return nil, fmt.Errorf("%w: docker has no such image, see docker images", errNotThere)
			}
			return nil, fmt.Errorf("docker answers %s: %s", resp.Status, strings.TrimSpace(string(text)))
		}
		return resp, nil
	}
	resp, err := get("json")
	if err != nil {
		return "", err
	}
	var is struct{ Os, Architecture string }
	err = json.NewDecoder(resp.Body).Decode(&is)
	resp.Body.Close()
	if err != nil {
		return "", fmt.Errorf("what answers at %s is not docker: %w", address, err)
	}
	// Before gigabytes are copied.
	if has := (v1.Platform{OS: is.Os, Architecture: is.Architecture}); is.Architecture != "" && (has.OS != platform.OS || has.Architecture != platform.Architecture) {
		return "", wrongPlatform(image, has.String(), platform)
	}
	if resp, err = get("get"); err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if file, err = i.spool(ctx, resp.Body); err != nil {
		return "", fmt.Errorf("save from docker: %w", err)
	}
	return file, nil
}

// dockerHost is where docker's daemon listens.
func dockerHost() (network, address string, err error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		address = "/var/run/docker.sock"
		if home, err := os.UserHomeDir(); err == nil { // Docker Desktop's and the rootless one's
			for _, own := range []string{filepath.Join(home, ".docker/run/docker.sock"), filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "docker.sock")} {
				if _, missing := os.Stat(address); missing != nil {
					address = own
				}
			}
		}
		return "unix", address, nil
	}
	network, address, _ = strings.Cut(host, "://")
	if (network != "unix" && network != "tcp") || address == "" {
		return "", "", errorf("DOCKER_HOST=%s cannot be used here: save the image (docker save -o image.tar IMAGE) and push the file.", host)
	}
	return network, address, nil
}

// savePodman writes what podman has of the image into a file.
func (i *Image) savePodman(ctx context.Context, image string) (file string, err error) {
	program, err := exec.LookPath("podman")
	if err != nil {
		return "", fmt.Errorf("%w: there is no program podman", errNotThere)
	}
	var exit *exec.ExitError
	if err := exec.CommandContext(ctx, program, "image", "exists", image).Run(); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", fmt.Errorf("%w: podman has no such image, see podman images", errNotThere)
	}
	dir, err := os.MkdirTemp("", "daytona-push-")
	if err != nil {
		return "", err
	}
	i.temporary = append(i.temporary, dir)
	file = filepath.Join(dir, "image.tar")
	if text, err := exec.CommandContext(ctx, program, "save", "--quiet", "--format", "oci-archive", "--output", file, image).CombinedOutput(); err != nil {
		return "", errorf("podman cannot save image %s: %s.", image, strings.TrimSuffix(strings.TrimSpace(string(text)), "."))
	}
	return file, nil
}
