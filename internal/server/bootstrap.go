package server

import (
	"context"
	"fmt"
	"net"

	"github.com/opendaytona/daytona/internal/config"

	"github.com/opendaytona/daytona/internal/account"
	"github.com/opendaytona/daytona/internal/fault"
	"github.com/opendaytona/daytona/internal/httpapi"
)

// bootstrap makes the administrator and a key where they are missing, and keeps
// the key with the server's present address. The key is written nowhere else:
// standard output and the log are journals that more than root may read.
func (s *server) bootstrap(ctx context.Context) error {
	path := s.Below(config.CredentialsName)
	kept, err := config.ReadCredentials(path)
	if err != nil {
		return err
	}
	value, err := s.accounts.Bootstrap(ctx, kept.APIKey)
	if err != nil {
		return err
	}
	now := config.Credentials{APIURL: s.origin() + httpapi.Prefix, APIKey: kept.APIKey, DashboardURL: s.origin()}
	if value != "" {
		now.APIKey = value
	}
	if now != kept {
		if err := now.Write(path); err != nil {
			return err
		}
	}
	if value != "" {
		s.log.Info("made the administrator's API key, which only root may read: `daytona env` prints it", "file", path)
	}
	return s.setAdminKey(ctx, now.APIKey)
}

// adminKeyName is the name of the key that the configuration gives.
const adminKeyName = "admin-from-configuration"

// setAdminKey makes the configured key the only one of its name. One that is
// no longer configured ends.
func (s *server) setAdminKey(ctx context.Context, localKey string) error {
	admin, err := s.accounts.Authenticate(ctx, localKey, "")
	if err != nil {
		return fmt.Errorf("set the configured API key: %w", err)
	}
	if s.AdminAPIKey != "" {
		switch k, _, err := s.db.KeyByHash(ctx, account.HashKey(s.AdminAPIKey)); {
		case err == nil && k.Name == adminKeyName:
			return nil
		case err == nil:
			return fmt.Errorf("set the configured API key: its value is already that of key %q", k.Name)
		case !fault.Is(err, fault.KindNotFound):
			return fmt.Errorf("set the configured API key: %w", err)
		}
	}
	if _, err := s.db.DeleteKey(ctx, admin.OrganizationID, admin.UserID, adminKeyName); err != nil && !fault.Is(err, fault.KindNotFound) {
		return fmt.Errorf("end the formerly configured API key: %w", err)
	}
	if s.AdminAPIKey == "" {
		return nil
	}
	err = s.db.InsertKey(ctx, &account.Key{
		Hash: account.HashKey(s.AdminAPIKey), Name: adminKeyName, Masked: s.AdminAPIKey[:4] + "************" + s.AdminAPIKey[len(s.AdminAPIKey)-4:],
		OrganizationID: admin.OrganizationID, UserID: admin.UserID, Permissions: account.AllPermissions(true), CreatedAt: s.clock.Now(),
	})
	if err != nil {
		return fmt.Errorf("set the configured API key: %w", err)
	}
	return nil
}

// origin is where clients on this machine, or everyone when that is configured,
// reach the server.
func (s *server) origin() string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	address := s.http.Address()
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(address.Port))
}
