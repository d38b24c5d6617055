package cli

import (
	"errors"

	"github.com/spf13/cobra"

	daytona "github.com/opendaytona/daytona/sdk"
)

// dockerfileFlags adds --dockerfile and --context to a command. It returns a
// function that returns the image to build, or nil if the flags are not set.
func dockerfileFlags(c *cobra.Command) func() (*daytona.Image, error) {
	var file string
	var contexts []string
	c.Flags().StringVar(&file, "dockerfile", "", "path of a Dockerfile to build")
	c.Flags().StringArrayVarP(&contexts, "context", "c", nil, "build context directory (default: the Dockerfile's directory); can be repeated; a directory inside the Dockerfile's keeps its relative path")
	return func() (*daytona.Image, error) {
		if file == "" {
			if len(contexts) > 0 {
				return nil, usageError{errors.New("--context requires --dockerfile")}
			}
			return nil, nil
		}
		image := daytona.FromDockerfile(file, contexts...)
		return image, image.Err()
	}
}
