package cli

import (
	"errors"

	"github.com/spf13/cobra"

	daytona "github.com/opendaytona/daytona/sdk"
)

// dockerfileFlags adds --dockerfile and --context to a command. The function it
// returns is the image that they describe; nil when none was asked for.
func dockerfileFlags(c *cobra.Command) func() (*daytona.Image, error) {
	var file string
	var contexts []string
	c.Flags().StringVar(&file, "dockerfile", "", "build this Dockerfile")
	c.Flags().StringArrayVarP(&contexts, "context", "c", nil, "directory that the Dockerfile copies from (default: its own; one inside that keeps its place there); repeat for more")
	return func() (*daytona.Image, error) {
		if file == "" {
			if len(contexts) > 0 {
				return nil, usageError{errors.New("--context is for --dockerfile: give both")}
			}
			return nil, nil
		}
		image := daytona.FromDockerfile(file, contexts...)
		return image, image.Err()
	}
}
