package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
)

const (
	// hubImage has what the default snapshots promise: Python and Node.js, for
	// x86-64 and arm64.
	hubImage = "nikolaik/python-nodejs:python3.13-nodejs22"
	// hubPatience is how long the hub may take to answer at the first start.
	hubPatience = 5 * time.Second
)

// chooseDefaultImage decides what the default snapshots are made of.
func (s *server) chooseDefaultImage(ctx context.Context) string {
	switch s.DefaultImage {
	case DefaultImageDebian:
		return s.base.reference
	case DefaultImageAuto:
		ctx, cancel := context.WithTimeout(ctx, hubPatience)
		defer cancel()
		hub := s.machine.hubImage
		if err := s.resolve(ctx, hub); err != nil {
			s.log.Info("default image: the hub does not give it, building one from Debian's packages", "asked", hub, "image", s.base.reference, "err", err)
			return s.base.reference
		}
		s.log.Info("default image: the hub has it", "image", hub)
		return hub
	}
	return s.DefaultImage
}

// resolve asks the registry, or its mirrors, whether it has the image.
func (s *server) resolve(ctx context.Context, ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", ref, err)
	}
	// Without pull, the resolver asks a host for nothing but digests.
	const ask = docker.HostCapabilityPull | docker.HostCapabilityResolve
	client := &http.Client{Transport: s.transport}
	defer client.CloseIdleConnections()
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: func(host string) ([]docker.RegistryHost, error) {
		authorizer := docker.NewDockerAuthorizer(docker.WithAuthClient(client))
		var hosts []docker.RegistryHost
		for _, m := range s.Mirrors[host] {
			u, err := url.Parse(m.URL)
			if err != nil {
				return nil, err
			}
			hosts = append(hosts, docker.RegistryHost{Client: client, Authorizer: authorizer, Host: u.Host, Scheme: u.Scheme, Path: u.Path + "/v2", Capabilities: ask})
		}
		scheme := "https"
		if slices.Contains(s.PlainHTTP, host) {
			scheme = "http"
		}
		name, err := docker.DefaultHost(host)
		return append(hosts, docker.RegistryHost{Client: client, Authorizer: authorizer, Host: name, Scheme: scheme, Path: "/v2", Capabilities: ask}), err
	}})
	if _, _, err := resolver.Resolve(ctx, named.String()); err != nil {
		return fmt.Errorf("resolve %s: %w", ref, err)
	}
	return nil
}
