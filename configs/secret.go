package configs

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a secret looks like wherever it is printed.
const redacted = "[redacted]"

// Secret is a text that must not be shown. Printing, logging or marshaling it
// gives [redacted], or nothing if no secret is set. The zero Secret is not set.
//
// The text is behind a pointer because package fmt does not call the methods of a
// value that it reaches through an unexported field, or prints with %p. It then
// prints an address.
type Secret struct{ text *string }

// NewSecret returns a Secret with text. If text is empty, the secret is not set.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the text; empty if no secret is set.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsSet reports whether a secret is set.
func (s Secret) IsSet() bool { return s.text != nil }

// String returns [redacted], or an empty string if no secret is set.
func (s Secret) String() string {
	if s.IsSet() {
		return redacted
	}
	return ""
}

// Format implements fmt.Formatter: it prints String for every verb, also for %#v.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and others use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
