package objectstore

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"github.com/opendaytona/daytona/internal/signedtoken"
)

// endpointName is the name that a program has when it is to be the endpoint.
const endpointName = "daytona-contexts"

// order is what the server tells the endpoint, as the first line of its input,
// whose end is the endpoint's.
type order struct {
	Dir string
	Key signedtoken.Key
}

// RunEndpoint must be the first thing that a program does that opens a Store:
// the store starts the program again, by endpointName, to speak S3 in a process
// that is confined to the archives (confine.go). There RunEndpoint does not
// return.
func RunEndpoint() {
	if len(os.Args) == 0 || os.Args[0] != endpointName {
		return
	}
	// The signal of the parent's death belongs to the thread that asked for it.
	runtime.LockOSThread()
	if err := serveEndpoint(os.Stdin, os.NewFile(3, "ready")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveEndpoint serves until in ends. It writes to ready when it does so.
func serveEndpoint(in io.Reader, ready io.WriteCloser) error {
	var o order
	orders := json.NewDecoder(in)
	if err := orders.Decode(&o); err != nil {
		return fmt.Errorf("read orders: %w", err)
	}
	if err := confine(o.Dir); err != nil {
		return err
	}
	var options posix.PosixOpts
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	backend, err := posix.New(objectsPath, meta.XattrMeta{}, options)
	if err != nil {
		return err
	}
	server, err := s3api.New(backend, middlewares.RootUserConfig{}, Region, signer{sealer{o.Key}}, nil, nil, nil, nil,
		s3api.WithQuiet(), s3api.WithDisableACL(), s3api.WithConcurrencyLimiter(maxUploads, maxUploads),
		s3api.WithOnListen(func() { _, _ = ready.Write([]byte{1}); ready.Close() }))
	if err != nil {
		return err
	}
	asked, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, orders.Buffered())
		_, _ = io.Copy(io.Discard, in) // until the server closes it or is gone
		close(asked)
		ended <- server.ShutDown()
	}()
	err = server.ServeMultiPort([]string{socketPath})
	select {
	case <-asked:
		return <-ended
	default:
		return err
	}
}
