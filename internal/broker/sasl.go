package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// The SASL mechanisms of NewLogin.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// NewLogin returns a login by one of the mechanisms above. It asks for the
// password at each connection, so that a changed one is used without a restart.
func NewLogin(mechanism, username string, password func() (string, error)) (sasl.Mechanism, error) {
	build, ok := mechanisms[mechanism]
	if !ok {
		return nil, fmt.Errorf("SASL mechanism %q: want %s, %s or %s", mechanism, Plain, ScramSHA256, ScramSHA512)
	}
	return &login{name: mechanism, username: username, password: password, build: build}, nil
}

var mechanisms = map[string]func(username, password string) (sasl.Mechanism, error){
	Plain: func(username, password string) (sasl.Mechanism, error) {
		return plain.Mechanism{Username: username, Password: password}, nil
	},
	ScramSHA256: func(username, password string) (sasl.Mechanism, error) {
		return scram.Mechanism(scram.SHA256, username, password)
	},
	ScramSHA512: func(username, password string) (sasl.Mechanism, error) {
		return scram.Mechanism(scram.SHA512, username, password)
	},
}

// login is a sasl.Mechanism that builds the real one for each connection. It
// holds no password, so printing it can't show one.
type login struct {
	name, username string
	password       func() (string, error)
	build          func(username, password string) (sasl.Mechanism, error)
}

// Name returns the mechanism's name.
func (l *login) Name() string { return l.name }

// Start starts one login.
func (l *login) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	password, err := l.password()
	if err != nil {
		return nil, nil, err
	}
	mechanism, err := l.build(l.username, password)
	if err != nil {
		// Not wrapped: the error names the character, which is a part of the password.
		return nil, nil, errors.New("the user name or the password holds a character that " + l.name + " does not allow")
	}
	return mechanism.Start(ctx)
}
