package daytona

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opendaytona/daytona/api"
)

// tell passes the log of a snapshot's or sandbox's image on, beside what waits
// for the outcome, as a log that hangs must not hold that up. Done is called when
// the outcome is known: it waits a little for the rest, and nothing is told after
// it has returned. onLogs may be nil.
func (c *Client) tell(ctx context.Context, route string, onLogs func(string)) (done func()) {
	if onLogs == nil {
		return func() {}
	}
	following, stop := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		c.followLogs(following, route, onLogs)
	}()
	return func() {
		last := time.AfterFunc(logGrace, stop)
		<-told
		last.Stop()
		stop()
	}
}

// logGrace is how long the rest of a log may take once the outcome is known.
const logGrace = 2 * time.Second

// followLogs passes the lines of the log on to its end. The outcome
// does not depend on it: what goes wrong is told as a line.
func (c *Client) followLogs(ctx context.Context, route string, onLogs func(string)) {
	err := c.readLogs(ctx, route, onLogs)
	if err != nil && ctx.Err() == nil {
		onLogs("The log broke off: " + err.Error())
	}
}

func (c *Client) readLogs(ctx context.Context, route string, onLogs func(string)) error {
	var where api.URL
	if err := c.do(ctx, request{method: http.MethodGet, url: route + "/build-logs-url"}, &where); err != nil {
		return err
	}
	resp, err := c.send(ctx, request{method: http.MethodGet, url: where.URL, query: url.Values{"follow": {"true"}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			onLogs(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
