package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPassword limits the input; keys of service accounts are whole files.
const maxPassword = 64 << 10

func registryPassword() string { return os.Getenv("DAYTONA_REGISTRY_PASSWORD") }

// password reads the password from standard input, the environment, or a prompt on
// the terminal.
func (a *app) password(ctx context.Context, fromInput bool, prompt string) (string, error) {
	if !fromInput {
		if p := registryPassword(); p != "" {
			return p, nil
		}
		in, ok := a.program.In.(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) {
			return "", usageError{errors.New("a password is required: use --password-stdin or DAYTONA_REGISTRY_PASSWORD")}
		}
		return a.ask(ctx, in, prompt)
	}
	b, err := io.ReadAll(io.LimitReader(a.program.In, maxPassword+1))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	// Programs that print a password end the line.
	p := strings.TrimRight(string(b), "\r\n")
	switch {
	case p == "":
		return "", usageError{errors.New("standard input is empty: write the password to it")}
	case len(b) > maxPassword:
		return "", usageError{fmt.Errorf("the password on standard input is longer than %d bytes", maxPassword)}
	}
	return p, nil
}

// ask prompts for a line without echo. After an interrupt it restores the terminal.
func (a *app) ask(ctx context.Context, in *os.File, prompt string) (string, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("ask for the password: %w", err)
	}
	fmt.Fprint(a.program.Err, prompt+": ")
	defer fmt.Fprintln(a.program.Err)
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answered <- answer{text, err}
	}()
	select {
	case r := <-answered:
		if r.err == nil && len(r.text) == 0 {
			r.err = usageError{errors.New("the password is empty")}
		}
		return string(r.text), r.err
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
