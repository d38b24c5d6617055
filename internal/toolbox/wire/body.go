package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// MaxBody limits JSON bodies. Files travel by the streamed routes.
const MaxBody = 32 << 20

// Decode reads the JSON body of r into v. Unknown fields are ignored.
func Decode(w http.ResponseWriter, r *http.Request, v any) error {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, MaxBody)).Decode(v)
	if err == nil {
		return nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	return Errorf(http.StatusBadRequest, InvalidRequestBody, "invalid request body: %s", Explain(err))
}

// Explain says what is wrong with a JSON object that could not be decoded.
func Explain(err error) string {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return "it is empty"
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Sprintf("field %q must be %s, not %s", wrongType.Field, jsonType(wrongType.Type.Kind().String()), wrongType.Value)
	case errors.As(err, &wrongType):
		return "it must be a JSON object, not " + wrongType.Value
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func jsonType(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "an integer"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "bool":
		return "a boolean"
	case kind == "slice":
		return "an array"
	case kind == "string":
		return "a string"
	}
	return "an object"
}
