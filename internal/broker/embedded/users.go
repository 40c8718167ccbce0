package embedded

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// User is a user who may log in by one SASL mechanism.
type User struct {
	Mechanism      string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Name, Password string
	// Permissions are all that the user may do; nil: everything.
	Permissions []Permission
}

// Permission is the right to one operation on one resource.
type Permission struct {
	Resource  string // topic, group or cluster; the cluster's Name is kafka-cluster
	Name      string
	Operation string // such as read, write, describe or describe_configs
}

// securityOpts returns the options of kfake that admit these users and no others.
func securityOpts(users []User) ([]kfake.Opt, error) {
	if len(users) == 0 {
		return nil, nil
	}
	opts := []kfake.Opt{kfake.EnableSASL()}
	for _, u := range users {
		if u.Permissions == nil {
			opts = append(opts, kfake.Superuser(u.Mechanism, u.Name, u.Password))
			continue
		}
		acls := make([]kfake.ACL, len(u.Permissions))
		for i, p := range u.Permissions {
			resource, err := kmsg.ParseACLResourceType(p.Resource)
			if err != nil {
				return nil, fmt.Errorf("embedded: user %s: %w", u.Name, err)
			}
			operation, err := kmsg.ParseACLOperation(p.Operation)
			if err != nil {
				return nil, fmt.Errorf("embedded: user %s: %w", u.Name, err)
			}
			acls[i] = kfake.ACL{
				Resource: resource, Name: p.Name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: operation, Allow: true,
			}
		}
		opts = append(opts, kfake.EnableACLs(), kfake.User(u.Mechanism, u.Name, u.Password, acls...))
	}
	return opts, nil
}
