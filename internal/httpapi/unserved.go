package httpapi

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opendaytona/daytona/api"
)

// unserved are the routes of the published API that this server does not have
// yet, by what it has no part for. Clients take 404 for an object that is not
// there, so these answer 501 with a sentence instead.
var unserved = []struct {
	what   string // completes "This server has no"
	routes []string
}{
	{"volumes yet", []string{
		"GET /volumes", "POST /volumes", "GET /volumes/{volumeId}", "DELETE /volumes/{volumeId}", "GET /volumes/by-name/{name}",
	}},
	{"secrets yet", []string{
		"GET /secret", "POST /secret", "GET /secret/paginated", "GET /secret/{secretId}", "PATCH /secret/{secretId}", "DELETE /secret/{secretId}",
		"GET /sandbox/{sandboxId}/secrets", "PUT /sandbox/{sandboxIdOrName}/secrets",
	}},
	{"access by SSH yet", []string{
		"POST /sandbox/{sandboxIdOrName}/ssh-access", "DELETE /sandbox/{sandboxIdOrName}/ssh-access", "GET /sandbox/ssh-access/validate",
	}},
	{"archives or backups of sandboxes yet", []string{
		"POST /sandbox/{sandboxIdOrName}/archive", "POST /sandbox/{sandboxIdOrName}/backup",
	}},
	{"way to pause sandboxes yet (stop them instead)", []string{
		"POST /sandbox/{sandboxIdOrName}/pause", "POST /sandbox/{sandboxIdOrName}/autopause/{interval}",
	}},
	{"telemetry of sandboxes yet", []string{
		"GET /sandbox/{sandboxId}/telemetry/logs", "GET /sandbox/{sandboxId}/telemetry/metrics",
		"GET /sandbox/{sandboxId}/telemetry/traces", "GET /sandbox/{sandboxId}/telemetry/traces/{traceId}",
		"GET /organizations/{organizationId}/otel-config", "PUT /organizations/{organizationId}/otel-config", "DELETE /organizations/{organizationId}/otel-config",
		"GET /organizations/otel-config/by-sandbox-auth-token/{authToken}",
	}},
	{"audit log yet", []string{
		"GET /audit/organizations/{organizationId}", "GET /audit/scenarios",
	}},
	{"webhooks yet", []string{
		"GET /webhooks/organizations/{organizationId}/initialization-status", "POST /webhooks/organizations/{organizationId}/app-portal-access",
		"POST /webhooks/organizations/{organizationId}/initialize", "POST /webhooks/organizations/{organizationId}/refresh-endpoints",
	}},
	{"members, roles and invitations yet (an administrator makes organizations with the command: daytona server organization)", []string{
		"POST /organizations", "DELETE /organizations/{organizationId}", "POST /organizations/{organizationId}/leave",
		"GET /organizations/{organizationId}/users", "DELETE /organizations/{organizationId}/users/{userId}", "POST /organizations/{organizationId}/users/{userId}/access",
		"GET /organizations/{organizationId}/roles", "POST /organizations/{organizationId}/roles",
		"PUT /organizations/{organizationId}/roles/{roleId}", "DELETE /organizations/{organizationId}/roles/{roleId}",
		"GET /organizations/{organizationId}/invitations", "POST /organizations/{organizationId}/invitations",
		"PUT /organizations/{organizationId}/invitations/{invitationId}", "POST /organizations/{organizationId}/invitations/{invitationId}/cancel",
		"GET /organizations/invitations", "GET /organizations/invitations/count",
		"POST /organizations/invitations/{invitationId}/accept", "POST /organizations/invitations/{invitationId}/decline",
	}},
	{"such settings of organizations yet (quotas are in the server's configuration)", []string{
		"PATCH /organizations/{organizationId}/default-region", "PATCH /organizations/{organizationId}/default-queue-timeout",
		"PATCH /organizations/{organizationId}/quota", "PATCH /organizations/{organizationId}/quota/{regionId}",
		"POST /organizations/{organizationId}/suspend", "POST /organizations/{organizationId}/unsuspend",
		"POST /organizations/{organizationId}/preview-warning", "POST /organizations/{organizationId}/sso-enabled",
		"PUT /organizations/{organizationId}/experimental-config",
	}},
	{"quotas by region or class of sandbox yet (see the organization's usage)", []string{
		"GET /sandbox/{sandboxId}/organization", "GET /sandbox/{sandboxId}/region-quota",
		"GET /organizations/{organizationId}/available-sandbox-classes", "GET /organizations/{organizationId}/gpu-capacity",
	}},
	{"regions and runners besides itself", []string{
		"POST /regions", "PATCH /regions/{id}", "DELETE /regions/{id}", "POST /regions/{id}/regenerate-proxy-api-key",
		"POST /regions/{id}/regenerate-ssh-gateway-api-key", "POST /regions/{id}/regenerate-snapshot-manager-credentials",
		"/runners", "/runners/", "/jobs", "/jobs/", "GET /sandbox/for-runner", "PUT /sandbox/{sandboxId}/state",
		"GET /organizations/sandbox-identity/by-sandbox-auth-token/{authToken}",
	}},
	{"proxy for previews besides itself", []string{"/preview", "/preview/"}},
	{"other sign-in than by API keys", []string{
		"GET /organizations/{organizationId}/identity-providers", "POST /organizations/{organizationId}/identity-providers",
		"GET /organizations/{organizationId}/identity-providers/{id}", "PATCH /organizations/{organizationId}/identity-providers/{id}",
		"DELETE /organizations/{organizationId}/identity-providers/{id}", "POST /organizations/{organizationId}/identity-providers/test-connection",
		"POST /organizations/{organizationId}/identity-providers/workos-admin-portal-link",
		"GET /organizations/{organizationId}/identity-providers/workos-sso-connections",
		"GET /users/account-providers", "/users/linked-accounts", "/users/linked-accounts/", "POST /users/mfa/sms/enroll",
		"POST /users/me/logins", "/users/me/pending-sso-links", "/users/me/pending-sso-links/", "POST /users/privacy-policies/accept",
	}},
	{"toolboxes below the API (they are at the toolboxProxyUrl of each sandbox)", []string{"/toolbox", "/toolbox/"}},
}

// withUnserved answers for them, and leaves all else to next.
func withUnserved(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", next)
	for _, part := range unserved {
		for _, route := range part.routes {
			mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
				writeError(w, r, &api.Error{
					StatusCode: http.StatusNotImplemented, Code: "NOT_IMPLEMENTED",
					Message: "This server has no " + part.what + ": it does not serve " + r.Method + " " + from(r.Context()).path + ".",
				})
			})
		}
	}
	return mux
}

// unservedTag is that of the operations in the document that answer 501.
const unservedTag = "not served"

var parameter = regexp.MustCompile(`{([^}]*)}`)

// documentUnserved adds them to the document, but for trees of routes, which it
// cannot tell. A path may be there under other names of its parameters.
func documentUnserved(d *huma.OpenAPI) {
	shape := func(path string) string { return parameter.ReplaceAllString(path, "{}") }
	paths := make(map[string]string)
	for path := range d.Paths {
		paths[shape(path)] = path
	}
	for _, part := range unserved {
		for _, route := range part.routes {
			method, path, ok := strings.Cut(route, " ")
			if !ok {
				continue
			}
			if known, ok := paths[shape(path)]; ok {
				path = known
			}
			paths[shape(path)] = path
			if d.Paths[path] == nil {
				d.Paths[path] = &huma.PathItem{}
			}
			o := &huma.Operation{
				Method: method, Path: path, Tags: []string{unservedTag}, Summary: "Not served: this server has no " + part.what,
				Responses: map[string]*huma.Response{},
			}
			for _, name := range parameter.FindAllStringSubmatch(path, -1) {
				o.Parameters = append(o.Parameters, &huma.Param{Name: name[1], In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
			}
			// Paths that name nothing are refused before.
			for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusNotImplemented} {
				o.Responses[strconv.Itoa(status)] = &huma.Response{
					Description: http.StatusText(status),
					Content:     map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{Ref: "#/components/schemas/StatusError"}}},
				}
			}
			item := d.Paths[path]
			switch method {
			case http.MethodGet:
				item.Get = o
			case http.MethodPost:
				item.Post = o
			case http.MethodPut:
				item.Put = o
			case http.MethodPatch:
				item.Patch = o
			case http.MethodDelete:
				item.Delete = o
			}
		}
	}
}
