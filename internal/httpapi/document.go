package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/httperror"
)

// refusals are the statuses besides success that an operation may answer, for the
// document. Of a failure of the server's own, huma tells.
func (op operation) refusals() []int {
	all := []int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
	if !op.public {
		// What is another's, or refers to what is not there, is not found; and the
		// caller itself may have gone.
		all = append(all, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound)
	}
	if op.method != http.MethodGet {
		all = append(all, http.StatusConflict, http.StatusUnsupportedMediaType, httperror.Status(fault.KindNoSpace))
	}
	return all
}

// tidyDocument makes of huma's document what this server answers.
func tidyDocument(d *huma.OpenAPI) {
	for _, p := range d.Paths {
		for _, o := range []*huma.Operation{p.Get, p.Put, p.Post, p.Delete, p.Patch} {
			if o == nil {
				continue
			}
			delete(o.Responses, "422") // validation makes it 400
			if o.RequestBody != nil {
				allowNull(d, o.RequestBody.Content["application/json"].Schema)
			}
		}
	}
	// huma takes a pointer to an object for the object.
	organization := d.Components.Schemas.Map()["Organization"].Properties
	organization["otelConfig"] = &huma.Schema{AnyOf: []*huma.Schema{organization["otelConfig"], {Type: "null"}}}
}

// allowNull says of fields that may be left out of a request what huma allows: null
// leaves them out.
func allowNull(d *huma.OpenAPI, s *huma.Schema) {
	if s.Ref != "" {
		s = d.Components.Schemas.SchemaFromRef(s.Ref)
	}
	for name, property := range s.Properties {
		if property.Ref == "" && property.Type != "" && !slices.Contains(s.Required, name) {
			property.Nullable = true
		}
		allowNull(d, property)
	}
	if s.Items != nil {
		allowNull(d, s.Items)
	}
}

// refuseEmpty answers for query parameters that are there and empty, but cannot be:
// huma takes them for absent.
func (a *API) refuseEmpty(hc huma.Context, next func(huma.Context)) {
	u := hc.URL()
	query := u.Query()
	for _, p := range hc.Operation().Parameters {
		if p.In != "query" || p.Schema == nil || mayBeEmpty(p.Schema) {
			continue
		}
		if values, there := query[p.Name]; there && strings.Join(values, "") == "" {
			a.refuse(hc, fault.Invalid(p.Name, "The query parameter "+p.Name+" is empty: give it a value, or leave it out."))
			return
		}
	}
	next(hc)
}

// mayBeEmpty tells whether the empty text is a value of the schema.
func mayBeEmpty(s *huma.Schema) bool {
	switch s.Type {
	case huma.TypeArray:
		return true
	case huma.TypeString:
		return s.Format == "" && len(s.Enum) == 0 && s.Pattern == "" && s.MinLength == nil
	}
	return false
}
