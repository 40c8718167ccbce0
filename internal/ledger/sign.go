package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"verdict/internal/decision"
)

// The headers of a signed record.
const (
	headerSignature = "verdict-signature" // of Ed25519, in base64
	headerPrevious  = "verdict-previous"  // the offset of the key's previous valid record; -1: there is none
)

// signedContent is what a signature covers. Lengths keep its parts apart.
func signedContent(group, key string, previous int64, value []byte) []byte {
	head := fmt.Sprintf("verdict ledger 1\n%d %s\n%d %s\n%d\n", len(group), group, len(key), key, previous)
	return append([]byte(head), value...)
}

// Sign returns the headers that sign a record of the control topic. previous is the offset
// of the key's previous valid record, see State.Previous.
func Sign(private ed25519.PrivateKey, group string, key Key, previous int64, value []byte) []decision.Header {
	signature := ed25519.Sign(private, signedContent(group, key.In(group), previous, value))
	return []decision.Header{
		{Key: headerPrevious, Value: strconv.AppendInt(nil, previous, 10)},
		{Key: headerSignature, Value: base64.StdEncoding.AppendEncode(nil, signature)},
	}
}

func isSigned(headers []decision.Header) bool {
	return slices.ContainsFunc(headers, func(h decision.Header) bool { return h.Key == headerSignature })
}

// Trusted are the public keys of the actors whose commands count.
type Trusted map[string][]ed25519.PublicKey

// CheckSigner returns why what an actor signs with a key would count for nothing. A nil
// key signs nothing.
func (t Trusted) CheckSigner(actor string, private ed25519.PrivateKey) error {
	if t == nil {
		return nil
	}
	const counts = "only signed commands of the actors in control.trusted_keys_file count: "
	if private == nil {
		return errors.New(counts + "name your private key in control.sign_key_file (verdict key new makes one)")
	}
	public, _ := private.Public().(ed25519.PublicKey)
	if slices.ContainsFunc(t[actor], func(k ed25519.PublicKey) bool { return k.Equal(public) }) {
		return nil
	}
	for _, owner := range slices.Sorted(maps.Keys(t)) {
		if slices.ContainsFunc(t[owner], func(k ed25519.PublicKey) bool { return k.Equal(public) }) {
			return fmt.Errorf("%sthe key in control.sign_key_file belongs to %q there, and the actor is %q; use --actor %s",
				counts, decision.OneLine(owner, 100), decision.OneLine(actor, 100), decision.OneLine(owner, 100))
		}
	}
	return fmt.Errorf("%sthe key in control.sign_key_file is not among them; add the line %q", counts,
		decision.OneLine(actor, 100)+" "+base64.StdEncoding.EncodeToString(public))
}

// verify returns why a value under a key was not signed by its actor, and otherwise which
// record it was signed to follow.
func (t Trusted) verify(group string, key Key, actor string, value []byte, headers []decision.Header) (previous int64, err error) {
	keys, known := t[actor]
	if !known {
		return 0, fmt.Errorf("no key of %q is trusted", decision.OneLine(actor, 100))
	}
	var signature []byte
	for _, h := range headers {
		switch h.Key {
		case headerPrevious:
			if previous, err = strconv.ParseInt(string(h.Value), 10, 64); err != nil {
				return 0, errors.New("its header " + headerPrevious + " is not an offset")
			}
		case headerSignature:
			signature, _ = base64.StdEncoding.DecodeString(string(h.Value))
		}
	}
	if signature == nil {
		return 0, errors.New("it is not signed")
	}
	content := signedContent(group, key.In(group), previous, value)
	if !slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return ed25519.Verify(k, content, signature) }) {
		return 0, fmt.Errorf("its signature is not one of %q", decision.OneLine(actor, 100))
	}
	return previous, nil
}

// ParseTrusted reads a file of trusted keys: on each line an actor and a public key in
// base64, as `verdict key new` prints them. Empty lines and those that begin with # are
// passed over. An actor may have several keys.
func ParseTrusted(text string) (Trusted, error) {
	t := make(Trusted)
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: it has %d words, not an actor and a public key", i+1, len(fields))
		}
		key, err := base64.StdEncoding.DecodeString(fields[1])
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("line %d: the key of %s is not an Ed25519 public key in base64 (%d bytes)", i+1, decision.OneLine(fields[0], 100), ed25519.PublicKeySize)
		}
		t[fields[0]] = append(t[fields[0]], key)
	}
	if len(t) == 0 {
		return nil, errors.New("it names nobody")
	}
	return t, nil
}
