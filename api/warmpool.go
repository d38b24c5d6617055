package api

// WarmPool keeps sandboxes of a snapshot started ahead.
type WarmPool struct {
	ID             string            `json:"id" format:"uuid"`
	OrganizationID string            `json:"organizationId"`
	Snapshot       string            `json:"snapshot"`
	Target         string            `json:"target" doc:"Region"`
	Pool           int               `json:"pool" doc:"How many should wait"`
	CurrentSize    int               `json:"currentSize" doc:"How many do"`
	CPU            int               `json:"cpu"`
	Memory         int               `json:"mem"`
	Disk           int               `json:"disk"`
	OSUser         string            `json:"osUser"`
	Env            map[string]string `json:"env" nullable:"false"`
	ErrorReason    string            `json:"errorReason,omitempty"`
	CreatedAt      string            `json:"createdAt"`
	UpdatedAt      string            `json:"updatedAt"`
}

// CreateWarmPool asks for a pool.
type CreateWarmPool struct {
	Snapshot string `json:"snapshot" doc:"Name or id"`
	Pool     int    `json:"pool" doc:"How many should wait"`
	Target   string `json:"target,omitempty" doc:"Region"`
}

// UpdateWarmPool changes a pool's size; 0 drains it.
type UpdateWarmPool struct {
	Pool int `json:"pool"`
}
