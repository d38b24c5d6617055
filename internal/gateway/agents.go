package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Agents talks to the agents of sandboxes in the server's own name.
type Agents struct{ client http.Client }

// agentPatience bounds one request to an agent.
const agentPatience = 10 * time.Second

// NewAgents makes it.
func NewAgents(d Dialer) *Agents {
	return &Agents{client: http.Client{
		Timeout: agentPatience,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				id, _, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return d.Dial(ctx, id)
			},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxToolboxHeaders,
		},
		// One that redirects would have the server speak to another's agent.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Configure is sandbox.Agents.
func (a *Agents) Configure(ctx context.Context, id, hostname string, env map[string]string) error {
	text, err := json.Marshal(map[string]any{"hostname": hostname, "env": env})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+id+"/configure", bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := a.client.Do(r)
	if err != nil {
		return fmt.Errorf("configure the agent of sandbox %s: %w", id, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return fmt.Errorf("configure the agent of sandbox %s: it answers %s: %s", id, answer.Status, why)
	}
	return nil
}
