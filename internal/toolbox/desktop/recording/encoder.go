package recording

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

const (
	// startPatience is how long ffmpeg has for its first picture.
	startPatience = 10 * time.Second
	// endPatience is how long it has to end a film, and again to put it together:
	// clients expect an answer within 10 seconds.
	endPatience = 4 * time.Second
)

// encoder is one recording while it goes on. While it is made, the film is in
// pieces of two seconds, each of which can be played when the rest is missing:
// so what ends with its sandbox is not lost. When it is stopped, the pieces are
// put together as a plain film, which plays everywhere and says how long it is.
type encoder struct {
	ffmpeg, display, dir string
	name                 name
	release              func()

	words    tail
	ended    chan struct{} // closed when ffmpeg has
	finished chan struct{} // closed when the file is whole too, and nothing changes any more
	once     sync.Once

	mu      sync.Mutex
	cmd     *exec.Cmd // nil until it runs
	stopped bool      // somebody wanted it to end

	// Valid when finished is closed.
	failure error
	result  Recording
}

func newEncoder(ffmpeg, display, dir string, n name) *encoder {
	return &encoder{ffmpeg: ffmpeg, display: display, dir: dir, name: n, ended: make(chan struct{}), finished: make(chan struct{})}
}

// findFFmpeg is its path: in PATH, or where Linux has programs.
func findFFmpeg() (string, error) {
	if path, err := exec.LookPath("ffmpeg"); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, "ffmpeg")); err == nil {
			return path, nil
		}
	}
	return "", wire.Errorf(http.StatusServiceUnavailable, wire.RecordingFFmpegNotFound,
		"this sandbox has no ffmpeg: install it (apt-get install ffmpeg), or use a snapshot whose image has it, such as the desktop variant of the default image")
}

// start begins the recording, and returns when the first picture is taken. It
// calls done when the recording has ended, also when it fails.
func (e *encoder) start(ctx context.Context, done func()) error {
	pictures, err := e.run()
	if err != nil {
		close(e.ended)
		close(e.finished)
		done()
		return err
	}
	first := make(chan struct{})
	go e.watch(pictures, first, done)
	timer := time.NewTimer(startPatience)
	defer timer.Stop()
	select {
	case <-first:
		return nil
	case <-e.finished:
		return e.failure
	case <-ctx.Done():
		e.discard()
		return wire.Errorf(http.StatusRequestTimeout, wire.RequestTimeout, "the client went away, and nothing is recorded")
	case <-timer.C:
		e.discard()
		return fmt.Errorf("ffmpeg took no picture of the display within %s: %s", startPatience, e.words.String())
	}
}

// run starts ffmpeg. What it says of its progress comes from the returned pipe.
func (e *encoder) run() (io.Reader, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil, errStopped
	}
	cmd := exec.Command(e.ffmpeg,
		"-nostdin", "-hide_banner", "-loglevel", "error", "-nostats", "-progress", "pipe:1", "-stats_period", "0.1",
		"-f", "x11grab", "-framerate", "30", "-i", e.display,
		// 4:2:0 needs sides with an even number of pixels.
		"-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-r", "30",
		// Little work, as the programs that are recorded need the processor too.
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "60",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof", "-flush_packets", "1", "-f", "mp4", "-n", "file:"+e.name.path(e.dir))
	// Go keeps the thread that starts it, so this is the end of the worker: a
	// recording that nobody can stop any more ends in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	cmd.Stderr = &e.words
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", e.ffmpeg, err)
	}
	e.cmd = cmd
	return out, nil
}

// errStopped is of what is begun while the desktop is being stopped.
var errStopped = wire.Errorf(http.StatusServiceUnavailable, wire.Internal, "the desktop is being stopped: start it again first")

// watch follows ffmpeg to its end.
func (e *encoder) watch(pictures io.Reader, first chan<- struct{}, done func()) {
	lines := bufio.NewScanner(pictures)
	begun := false
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "frame="); ok && !begun && strings.TrimSpace(n) != "0" {
			begun = true
			close(first)
		}
	}
	_, _ = io.Copy(io.Discard, pictures) // after a line that is too long
	err := e.cmd.Wait()
	end := time.Now().UTC()
	close(e.ended)
	e.finish(begun, err, end)
	done()
	close(e.finished)
}

// finish makes the file whole.
func (e *encoder) finish(begun bool, err error, end time.Time) {
	path := e.name.path(e.dir)
	if !begun {
		e.failure = e.failed(err)
		_ = os.Remove(path) // nothing is in it
		return
	}
	e.mu.Lock()
	stopped := e.stopped
	e.mu.Unlock()
	if !stopped {
		e.failure = e.failed(err)
	}
	if err := e.join(path); err != nil {
		slog.Warn("the recording stays in pieces, which play too", "file", path, "error", err)
	}
	r, err := e.name.inspect(e.dir)
	if err == nil && r.Status == statusFailed {
		err = fmt.Errorf("ffmpeg left no film: %s", e.words.String())
	}
	if err != nil && e.failure == nil {
		e.failure = fmt.Errorf("look at the recording: %w", err)
	}
	r.EndTime = end.Format(time.RFC3339Nano)
	e.result = r
}

// join makes a plain film of the pieces.
func (e *encoder) join(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	whole := filepath.Join(e.dir, unfinished+e.name.id+".mp4")
	defer os.Remove(whole) // fails once it is renamed
	cmd := exec.CommandContext(ctx, e.ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error",
		"-i", "file:"+path, "-map", "0", "-c", "copy", "-movflags", "+faststart", "-f", "mp4", "-y", "file:"+whole)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var words tail
	cmd.Stderr = &words
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, words.String())
	}
	if _, err := os.Lstat(path); err != nil { // deleted meanwhile, and so it stays
		return err
	}
	return os.Rename(whole, path)
}

// stop ends the recording in order, or after a while not in order.
func (e *encoder) stop() {
	e.once.Do(func() {
		e.mu.Lock()
		e.stopped = true
		e.mu.Unlock()
		e.signal(syscall.SIGINT)
		timer := time.NewTimer(endPatience)
		defer timer.Stop()
		select {
		case <-e.ended:
		case <-timer.C:
			e.signal(syscall.SIGKILL)
		}
	})
}

// signal is for ffmpeg while it runs.
func (e *encoder) signal(s syscall.Signal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cmd != nil {
		_ = e.cmd.Process.Signal(s) // which knows whether it has ended
	}
}

// discard ends a recording that nobody gets.
func (e *encoder) discard() {
	e.signal(syscall.SIGKILL)
	<-e.finished
	_ = os.Remove(e.name.path(e.dir))
}

// failed is the answer for an ffmpeg that ended by itself.
func (e *encoder) failed(err error) error {
	words := e.words.String()
	has := func(texts ...string) bool {
		for _, t := range texts {
			if strings.Contains(words, t) {
				return true
			}
		}
		return false
	}
	switch {
	case has("No space left on device", "Disk quota exceeded"):
		return wire.Errorf(http.StatusInsufficientStorage, wire.Internal,
			"the recording ended because the sandbox's disk is full: delete files or use a larger disk; what was recorded until then is kept")
	case has("Cannot open display"):
		return wire.Bad("there is no display %s to record: start the desktop first (POST /computeruse/start; computer_use.start() in the SDKs)", e.display)
	case has("Unknown input format", "Unknown encoder"):
		return wire.Errorf(http.StatusServiceUnavailable, wire.RecordingFFmpegNotFound,
			"%s cannot record: it needs x11grab and libx264, which Debian's ffmpeg has: %s", e.ffmpeg, words)
	case words == "" && err == nil:
		words = "it was asked to end"
	case words == "":
		words = err.Error()
	}
	return wire.Errorf(http.StatusInternalServerError, wire.Internal, "ffmpeg ended by itself (%s); what was recorded until then is kept", words)
}

// recording tells of it as it is now.
func (e *encoder) recording() Recording {
	select {
	case <-e.finished:
		return e.result
	default:
		return e.name.recording(e.dir)
	}
}

// tail keeps the last of what ffmpeg says.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const keptWords = 1 << 10

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*keptWords {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-keptWords:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.kept[max(0, len(t.kept)-keptWords):]))
}
