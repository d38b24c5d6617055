package api

// PortPreviewURL is where a port of a sandbox is on the web.
type PortPreviewURL struct {
	SandboxID string `json:"sandboxId"`
	URL       string `json:"url"`
	Token     string `json:"token" doc:"Opens the sandbox's previews until it stops, as header X-Daytona-Preview-Token; public ones need none"`
}

// SignedPortPreviewURL is the same for everybody who has the URL.
type SignedPortPreviewURL struct {
	SandboxID string `json:"sandboxId"`
	Port      int    `json:"port"`
	Token     string `json:"token" doc:"Names the URL to the operation that expires it"`
	URL       string `json:"url"`
}
