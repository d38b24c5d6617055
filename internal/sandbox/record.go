package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opendaytona/daytona/internal/controller"
	"github.com/opendaytona/daytona/internal/engine"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/snapshot"
)

// record is the sandbox as it is kept beside its disk. The row is what counts;
// the record is what is left of the sandbox when the row is lost.
func (s *Service) record(sb *Sandbox) []byte {
	kept := record{Sandbox: sb}
	if len(sb.Env) > 0 {
		env, _ := json.Marshal(sb.Env) // of texts, which never fails
		kept.SealedEnv = s.config.Secrets.Seal(string(env), "record", "env", sb.ID)
	}
	b, _ := json.Marshal(kept) // of plain fields, which never fails
	return b
}

// record is the form of a record: its variables are sealed.
type record struct {
	*Sandbox
	Env       map[string]string `json:",omitempty"` // as earlier versions kept them
	SealedEnv string            `json:",omitempty"`
}

// ParseRecord reads what the engine kept beside a disk. Without secrets, sealed
// variables are left out; with other ones, they are lost.
func ParseRecord(text []byte, secrets Sealer) (*Sandbox, error) {
	kept := record{Sandbox: &Sandbox{}}
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("read the record of a disk: %w", err)
	}
	sb := kept.Sandbox
	sb.Env = kept.Env
	if kept.SealedEnv == "" || secrets == nil {
		return sb, nil
	}
	env, err := secrets.Open(kept.SealedEnv, "record", "env", sb.ID)
	if err == nil {
		err = json.Unmarshal([]byte(env), &sb.Env)
	}
	sb.EnvLost = err != nil
	return sb, nil
}

// note keeps the sandbox's latest record beside its disk, where there is one.
// The next start of the sandbox does it again.
func (s *Service) note(ctx context.Context, sb *Sandbox) {
	err := s.config.Engine.SetRecord(ctx, sb.ID, s.record(sb))
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		s.config.Log.Warn("keep the record of a sandbox beside its disk", "sandbox", sb.ID, "err", err)
	}
}

// noteAll is the job that does it for the sandboxes whose last record may be of
// before the restart, or of a server that kept none.
func (s *Service) noteAll(ctx context.Context, _ *controller.Task) error {
	all, err := s.config.Store.AllSandboxes(ctx)
	if err != nil {
		return fmt.Errorf("keep records of sandboxes: %w", err)
	}
	for _, sb := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if sb.State.Settled() && sb.ImageDigest != "" {
			s.note(ctx, sb)
		}
	}
	return nil
}

// AdoptParams say what becomes of a disk that no row knows.
type AdoptParams struct {
	ID             string // of the disk
	Record         []byte // nil for a disk that has none
	OrganizationID string // whose it becomes when the record's organization is not here
	Snapshot       string // the organization's snapshot that it is to stand on, "" for what the record says
	Known          func(organizationID string) (bool, error)
}

// Adopt makes a row for a disk that has none: a stopped sandbox, which no clock
// deletes. The limits of the organization do not count. Errors: fault of kind
// Invalid, when it is not known what the disk stands on; NotFound (snapshot).
func (s *Service) Adopt(ctx context.Context, p AdoptParams) (*Sandbox, error) {
	now := s.config.Clock.Now()
	sb := &Sandbox{
		Name: p.ID, Resources: Resources(snapshot.DefaultResources),
		AutoStop: DefaultAutoStop, AutoArchive: DefaultAutoArchive, CreatedAt: now, LastActivityAt: now,
	}
	if p.Record != nil {
		var err error
		if sb, err = ParseRecord(p.Record, s.config.Secrets); err != nil {
			return nil, err
		}
		if sb.EnvLost {
			s.config.Log.Warn("the variables of an adopted sandbox were encrypted with another key: it has none", "sandbox", p.ID)
			sb.EnvLost = false
		}
	}
	sb.ID = p.ID
	if known, err := p.Known(sb.OrganizationID); err != nil {
		return nil, err
	} else if !known {
		sb.OrganizationID = p.OrganizationID
	}
	if sb.Region == "" {
		var err error
		if sb.Region, err = s.config.Regions.DefaultRegion(ctx, sb.OrganizationID); err != nil {
			return nil, err
		}
	}
	if p.Snapshot != "" {
		snap, err := s.config.Snapshots.Get(ctx, sb.OrganizationID, p.Snapshot)
		if err != nil {
			return nil, err
		}
		if snap.State != snapshot.StateActive {
			return nil, fault.Invalid("snapshot", fmt.Sprintf("Snapshot %q is %s: use an active snapshot.", snap.Name, snap.State))
		}
		if p.Record == nil {
			sb.Resources = Resources(snap.Resources)
		}
		sb.SnapshotID, sb.Snapshot = snap.ID, snap.Name
		sb.standOn(snap)
	}
	if sb.ImageDigest == "" {
		return nil, fault.Invalid("snapshot", "The disk's record does not name its image: specify the snapshot that the sandbox was created from.")
	}
	sb.State, sb.Desired, sb.ErrorReason, sb.Recoverable = StateStopped, DesiredStopped, "", false
	sb.AutoDelete, sb.DestroyAt, sb.UpdatedAt, sb.StoppedAt = NeverDelete, nil, now, &now
	sb.ParentID, sb.RootID, sb.CopyOf, sb.WarmPoolID, sb.Claimed = "", "", "", "", false
	sb.NetworkGeneration, sb.SizeGeneration = Generation{}, Generation{}
	sb.SigningSalt = rand.Text() // the record may be older than the last rotation
	err := s.config.Store.AdoptSandbox(ctx, sb)
	if fault.Is(err, fault.KindConflict) && sb.Name != sb.ID { // somebody has the name now
		sb.Name = sb.ID
		err = s.config.Store.AdoptSandbox(ctx, sb)
	}
	if err != nil {
		return nil, fmt.Errorf("adopt disk %s: %w", p.ID, err)
	}
	s.config.Events.SandboxCreated(sb)
	s.config.Log.Info("adopted a disk that no row knew", "sandbox", sb.ID, "name", sb.Name, "organization", sb.OrganizationID)
	return sb, nil
}
