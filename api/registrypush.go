package api

// RegistryPushAccess is what a client needs to push an image to
// {registryUrl}/{project}/{name}:{tag}, of which a snapshot can be made then.
type RegistryPushAccess struct {
	Username    string `json:"username"`
	Secret      string `json:"secret"`
	RegistryURL string `json:"registryUrl" doc:"Host and port, as image references have them"`
	RegistryID  string `json:"registryId"`
	Project     string `json:"project"`
	ExpiresAt   string `json:"expiresAt"`
	Platform    string `json:"platform" doc:"What images are needed for, such as linux/amd64"`
}
