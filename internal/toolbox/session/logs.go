package session

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/coder/websocket"

	"github.com/opendaytona/daytona/internal/toolbox/logfile"
	"github.com/opendaytona/daytona/internal/toolbox/upgrade"
	"github.com/opendaytona/daytona/internal/toolbox/wire"
)

func (s *Service) logs(w http.ResponseWriter, r *http.Request) error {
	_, cmd, err := s.findCommand(r)
	if err != nil {
		return err
	}
	return serveLogs(w, r, cmd.log)
}

// serveLogs answers with a log as it is, or follows it to the command's end.
func serveLogs(w http.ResponseWriter, r *http.Request, log *logfile.Log) error {
	follow := false
	if text := r.URL.Query().Get("follow"); text != "" {
		var err error
		if follow, err = strconv.ParseBool(text); err != nil {
			return wire.Bad("follow must be true or false, not %q", text)
		}
	}
	switch {
	case !follow && wantsText(r):
		return writeText(w, r, log)
	case !follow:
		return writeLogs(w, "{", log.Reader(logfile.Both), log)
	case r.Header.Get("Upgrade") == "":
		return streamLogs(w, r, log)
	}
	return followLogs(w, r, log)
}

// wantsText tells whether a client takes text and no JSON.
func wantsText(r *http.Request) bool {
	text, other := false, false
	for accepted := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		switch kind, _, _ := mime.ParseMediaType(accepted); kind {
		case "text/plain":
			text = true
		case "application/json", "application/*", "*/*":
			other = true
		}
	}
	return text && !other
}

// writeText writes the log as it is, and to SDKs, which ask for text before 0.167
// only, with the marks by which those take the streams apart.
func writeText(w http.ResponseWriter, r *http.Request, log *logfile.Log) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	var err error
	if r.Header.Get(sdkVersion) == "" {
		_, err = io.Copy(w, log.Reader(logfile.Both))
	} else {
		err = writeMarked(w, log)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// writeLogs writes a JSON object that begins with head and ends with the log, of
// which output has both streams.
func writeLogs(w http.ResponseWriter, head string, output io.Reader, log *logfile.Log) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, err := io.WriteString(w, head+`"output":`)
	err = errors.Join(err, wire.Text(w, output))
	_, e := io.WriteString(w, `,"stdout":`)
	err = errors.Join(err, e, wire.Text(w, log.Reader(logfile.Stdout)))
	_, e = io.WriteString(w, `,"stderr":`)
	err = errors.Join(err, e, wire.Text(w, log.Reader(logfile.Stderr)))
	_, e = io.WriteString(w, "}\n")
	if errors.Join(err, e) != nil {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
	return nil
}

// followLogs sends the log as one stream of bytes with marks.
func followLogs(w http.ResponseWriter, r *http.Request, log *logfile.Log) error {
	conn, err := upgrade.WebSocket(w, r)
	if err != nil {
		return nil // it is answered
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(conn.CloseRead(r.Context()))
	defer cancel()
	go upgrade.KeepAlive(ctx, conn)
	var message []byte
	err = log.Follow(ctx, func(s logfile.Stream, p []byte) error {
		message = frame(message[:0], s, p)
		return conn.Write(ctx, websocket.MessageBinary, message)
	})
	switch {
	case ctx.Err() != nil: // the client went away
	case err != nil:
		conn.Close(websocket.StatusInternalError, "the log cannot be read")
	default:
		conn.Close(websocket.StatusNormalClosure, "")
	}
	return nil
}

// streamLogs follows without a WebSocket, for curl: the same bytes as the body.
func streamLogs(w http.ResponseWriter, r *http.Request, log *logfile.Log) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	flush := http.NewResponseController(w)
	_ = flush.Flush() // an error shows at the first write
	var message []byte
	err := log.Follow(r.Context(), func(s logfile.Stream, p []byte) error {
		message = frame(message[:0], s, p)
		if _, err := w.Write(message); err != nil {
			return err
		}
		return flush.Flush()
	})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
