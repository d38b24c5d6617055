package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// docker is the peer.
type docker struct{ image string }

// findDocker asks for a daemon and lets it have the image. Without a daemon
// there is no peer; a daemon without the image is an error.
func findDocker(ctx context.Context, registry, image string) (*docker, string, error) {
	version, err := output(ctx, "docker", "version", "--format", "{{.Server.Version}}")
	if err != nil || registry == "" {
		return nil, "", nil
	}
	d := &docker{image: dockerName(registry, image)}
	if _, err := output(ctx, "docker", "pull", "--quiet", d.image); err != nil {
		return nil, "", err
	}
	return d, version, nil
}

// dockerName is an image of docker.io in the registry that stands in for it.
func dockerName(registry, image string) string {
	if !strings.Contains(image, "/") {
		image = "library/" + image
	}
	return registry + "/" + image
}

// run starts a container that stays.
func (d *docker) run(ctx context.Context) (id string, err error) {
	return output(ctx, "docker", "run", "--detach", d.image, "sleep", "infinity")
}

func (d *docker) exec(ctx context.Context, id string) error {
	_, err := output(ctx, "docker", "exec", id, "echo", "x")
	return err
}

func (d *docker) remove(ctx context.Context, ids ...string) error {
	_, err := output(ctx, "docker", append([]string{"rm", "--force"}, ids...)...)
	return err
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

// build builds a directory with BuildKit.
func (d *docker) build(ctx context.Context, tag, dir string) error {
	_, err := output(ctx, "env", "DOCKER_BUILDKIT=1", "docker", "build", "--quiet", "--tag", tag, dir)
	return err
}
