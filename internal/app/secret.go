package app

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret is how many bytes a file with a key or password may have.
const maxSecret = 4 << 10

// readSecret reads the file of a key or password. Spaces and line breaks around
// it do not count. The error never holds what is in the file.
func readSecret(file string) (string, error) {
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
		return "", fmt.Errorf("%s has more than %d bytes, so it is no key or password", file, maxSecret)
	case secret == "":
		return "", fmt.Errorf("%s is empty", file)
	}
	return secret, nil
}
