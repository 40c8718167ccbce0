package configs

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a secret looks like to everybody but Reveal's callers.
const redacted = "[redacted]"

// Secret is a text that is not to be shown. Whatever prints, logs or marshals
// it gets [redacted], or nothing where no secret is set. The zero Secret is not
// set.
//
// The text is behind a pointer, because package fmt prints what it reaches
// through an unexported field, or with %p, without asking for any method; it
// then shows an address.
type Secret struct{ text *string }

// NewSecret is a Secret that holds text; an empty text is no secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal is the text itself; empty where none is set.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet says whether there is a secret.
func (s Secret) IsSet() bool { return s.text != nil }

// String is [redacted], or empty where no secret is set.
func (s Secret) String() string {
	if s.IsSet() {
		return redacted
	}
	return ""
}

// Format prints String for every verb, %#v among them.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText stands for every encoding: JSON, YAML and others ask for it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is what slog shows.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
