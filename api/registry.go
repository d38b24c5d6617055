package api

import "time"

// DockerRegistry is a credential for somebody else's registry, without its
// password, which is never told.
type DockerRegistry struct {
	ID           string    `json:"id" format:"uuid"`
	Name         string    `json:"name"`
	URL          string    `json:"url"`
	Username     string    `json:"username"`
	Project      string    `json:"project" doc:"What it is for, below the URL"`
	RegistryType string    `json:"registryType" enum:"internal,organization,transient,backup"`
	CreatedAt    time.Time `json:"createdAt"`
	UpdatedAt    time.Time `json:"updatedAt"`
	// Warning is told on creation and update only.
	Warning string `json:"warning,omitempty" doc:"Why the credential does not work at present"`
}

// RegistryOfOrganization is the type of those that people add.
const RegistryOfOrganization = "organization"

// CreateDockerRegistry asks for one to be kept.
type CreateDockerRegistry struct {
	Name     string `json:"name" example:"github"`
	URL      string `json:"url" example:"ghcr.io" doc:"Host, with port and path if any; docker.io when empty"`
	Username string `json:"username"`
	Password string `json:"password" doc:"Password or token"`
	Project  string `json:"project,omitempty" example:"acme" doc:"Only for the images below it; default all"`
}

// UpdateDockerRegistry changes the fields that it has.
type UpdateDockerRegistry struct {
	Name     *string `json:"name,omitempty"`
	URL      *string `json:"url,omitempty" doc:"Another registry needs the password too"`
	Username *string `json:"username,omitempty"`
	Password *string `json:"password,omitempty"`
	Project  *string `json:"project,omitempty"`
}
