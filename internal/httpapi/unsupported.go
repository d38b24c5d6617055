package httpapi

import (
	"strings"

	"github.com/opendaytona/daytona/api"
	"github.com/opendaytona/daytona/internal/fault"
)

// field is one of the published API that this server does nothing with yet.
type field struct {
	name   string
	set    bool // to something else than nothing
	advice string
}

// refuse fails when one of them is set: a client that asks for what it does not
// get must know. What nobody has published is ignored, for clients that are newer
// than the server.
func refuse(fields ...field) error {
	var names, advice []string
	for _, f := range fields {
		if f.set {
			names, advice = append(names, f.name), append(advice, f.name+": "+f.advice+".")
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fault.Invalid(names[0], "This server does not support "+strings.Join(names, ", ")+". "+strings.Join(advice, " "))
}

func unsupportedOfSandbox(b api.CreateSandbox) error {
	return refuse(
		field{"gpu", isSet(b.GPU), "there are no GPUs, leave it out"},
		field{"gpuType", len(b.GPUType) > 0, "there are no GPUs, leave it out"},
		field{"spot", b.Spot, "sandboxes are never evicted for others, leave it out"},
		field{"kvm", b.KVM, "sandboxes are containers, leave it out"},
		field{"autoPauseInterval", isSet(b.AutoPauseInterval), "sandboxes cannot be paused, set autoStopInterval instead"},
		field{"queueTimeout", isSet(b.QueueTimeout), "nothing is queued for a machine, leave it out"},
		field{"volumes", len(b.Volumes) > 0, "there are none yet, leave it out"},
		field{"secrets", len(b.Secrets) > 0, "there are none yet, pass env instead"},
		field{"outboundProxyUrl", b.OutboundProxyURL != "", "set HTTPS_PROXY and HTTP_PROXY in env instead"},
		field{"otelEndpointOverride", b.OtelEndpointOverride != "", "no telemetry is sent, leave it out"},
		field{"linkedSandbox", b.LinkedSandbox != "", "sandboxes cannot be linked yet, leave it out"},
	)
}

func unsupportedOfSnapshot(b api.CreateSnapshot) error {
	return refuse(
		field{"gpu", isSet(b.GPU), "there are no GPUs, leave it out"},
		field{"gpuType", len(b.GPUType) > 0, "there are no GPUs, leave it out"},
		field{"sandboxClass", b.SandboxClass != "" && b.SandboxClass != sandboxClass, "sandboxes are of the class " + sandboxClass + ", leave it out"},
	)
}

func isSet(n *int) bool { return n != nil && *n != 0 }
