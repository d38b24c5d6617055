package daytona

import (
	"os"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/pelletier/go-toml/v2"
)

// PipOptions say where packages come from. The zero value is pip's own choice.
type PipOptions struct {
	FindLinks      []string // directories in the image, or URLs
	IndexURL       string
	ExtraIndexURLs []string
	Pre            bool   // early versions too
	ExtraOptions   string // more of pip's options, as the shell reads them
}

func (o PipOptions) arguments() string {
	var b strings.Builder
	for _, link := range o.FindLinks {
		b.WriteString(" --find-links " + shellescape.Quote(link))
	}
	if o.IndexURL != "" {
		b.WriteString(" --index-url " + shellescape.Quote(o.IndexURL))
	}
	for _, url := range o.ExtraIndexURLs {
		b.WriteString(" --extra-index-url " + shellescape.Quote(url))
	}
	if o.Pre {
		b.WriteString(" --pre")
	}
	if o.ExtraOptions != "" {
		b.WriteString(" " + strings.TrimSpace(o.ExtraOptions))
	}
	return b.String()
}

// PipInstall installs Python packages; none is fine.
func (i *Image) PipInstall(packages []string, o PipOptions) *Image {
	if len(packages) == 0 {
		return i
	}
	var words []string
	for _, p := range slices.Sorted(slices.Values(packages)) {
		words = append(words, shellescape.Quote(p))
	}
	return i.line("RUN python -m pip install %s%s", strings.Join(words, " "), o.arguments())
}

// PipInstallFromRequirements installs what a requirements file of this machine
// lists.
func (i *Image) PipInstallFromRequirements(file string, o PipOptions) *Image {
	file, err := localPath(file)
	if err == nil {
		err = isFile("Requirements file", file)
	}
	if err != nil {
		return i.fail(err)
	}
	name := i.add(file, false)
	if strings.ContainsAny(name, " \t\"'\\$") {
		i.line("COPY [%s, %s]", quoteJSON(name), quoteJSON("/.requirements.txt"))
	} else {
		i.line("COPY %s /.requirements.txt", name)
	}
	return i.line("RUN python -m pip install -r /.requirements.txt%s", o.arguments())
}

// PipInstallFromPyproject installs the dependencies of a pyproject.toml of this
// machine, and those of its optional groups that are named.
func (i *Image) PipInstallFromPyproject(file string, groups []string, o PipOptions) *Image {
	file, err := localPath(file)
	if err == nil {
		err = isFile("Project file", file)
	}
	if err != nil {
		return i.fail(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return i.fail(localError("Project file", file, err))
	}
	var content struct {
		Project *struct {
			Dependencies []string            `toml:"dependencies"`
			Optional     map[string][]string `toml:"optional-dependencies"`
		} `toml:"project"`
	}
	if err := toml.Unmarshal(text, &content); err != nil {
		return i.fail(invalid("Project file %s is not valid: %v.", file, err))
	}
	if content.Project == nil || content.Project.Dependencies == nil {
		return i.fail(invalid("Project file %s has no dependencies: write them as a list in its [project] section.", file))
	}
	packages := content.Project.Dependencies
	for _, g := range groups {
		packages = append(packages, content.Project.Optional[g]...)
	}
	return i.PipInstall(packages, o)
}
