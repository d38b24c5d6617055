package image

import (
	"context"
	"fmt"
	"net/http"

	"github.com/distribution/reference"
)

// Repository is where images are: a registry and a name there.
type Repository struct {
	Host string // with its port, as in references; docker.io for Docker Hub
	Name string // "library/python"; "" is the registry as a whole
}

func (r Repository) String() string {
	if r.Name == "" {
		return r.Host
	}
	return r.Host + "/" + r.Name
}

// Credential is what a registry wants to know before it shows a repository.
type Credential struct {
	Entry  string // who gave it, a name that people know it by
	User   string
	Secret string

	// Transport answers in place of the registry, which nothing is told then;
	// nil for all but the images of this server's own registry. Paths are as the
	// distribution specification has them: /v2/<name>/….
	Transport http.RoundTripper
}

// Credentials finds the credential of a repository; nil is none. It is asked
// before every request, so that one which has changed is used at once. A nil
// func has none.
type Credentials func(ctx context.Context, r Repository) (*Credential, error)

func (c Credentials) find(ctx context.Context, r Repository) (*Credential, error) {
	if c == nil {
		return nil, nil
	}
	found, err := c(ctx, r)
	if err != nil {
		return nil, &credentialsError{r, err}
	}
	return found, nil
}

// credentialsError says that a repository's credential could not be found.
type credentialsError struct {
	repository Repository
	err        error
}

func (e *credentialsError) Error() string {
	return fmt.Sprintf("find credentials for %s: %v", e.repository, e.err)
}

func (e *credentialsError) Unwrap() error { return e.err }

// repositoryOf is where the image of a reference is.
func repositoryOf(ref string) (Repository, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return Repository{}, err
	}
	return Repository{reference.Domain(named), reference.Path(named)}, nil
}
