package app

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret is the largest size, in bytes, of a file with a key or a password.
const maxSecret = 4 << 10

// readSecretFile returns the key or password in a file, without the white space around
// it. The error never shows what is in the file.
func readSecretFile(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	switch {
	case len(text) > maxSecret:
		return "", fmt.Errorf("%s has more than %d bytes, too many for a key or password", file, maxSecret)
	case secret == "":
		return "", fmt.Errorf("%s is empty", file)
	}
	return secret, nil
}
