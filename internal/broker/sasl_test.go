package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"verdict/internal/broker"
	"verdict/internal/broker/embedded"
)

func TestLoginReadsThePasswordForEachConnection(t *testing.T) {
	for _, mechanism := range []string{broker.Plain, broker.ScramSHA256, broker.ScramSHA512} {
		synctest.Test(t, func(t *testing.T) {
			cluster, network := secureWorld(t, embedded.Options{
				Users: []embedded.User{{Mechanism: mechanism, Name: "verdict", Password: "new"}},
			})
			var password atomic.Value
			password.Store("old")
			conn := connectWith(t, cluster, network, broker.Options{
				SASL: mustLogin(t, mechanism, "verdict", func() (string, error) { return password.Load().(string), nil }),
			})
			if err := reach(t.Context(), conn); err == nil {
				t.Errorf("%s: logged in with the wrong password", mechanism)
			}
			password.Store("new")
			if err := reachInTime(t.Context(), conn); err != nil {
				t.Errorf("%s: %v", mechanism, err)
			}
		})
	}
}

func TestLoginWithoutAPasswordFailsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, network := secureWorld(t, embedded.Options{
			Users: []embedded.User{{Mechanism: broker.Plain, Name: "verdict", Password: "p"}},
		})
		unreadable := errors.New("unreadable")
		conn := connectWith(t, cluster, network, broker.Options{
			SASL: mustLogin(t, broker.Plain, "verdict", func() (string, error) { return "", unreadable }),
		})
		wantErrorIs(t, reach(t.Context(), conn), unreadable)
	})
}

func TestNewLoginRefusesWhatCannotWork(t *testing.T) {
	if _, err := broker.NewLogin("GSSAPI", "u", fixed("p")); err == nil || !strings.Contains(err.Error(), `"GSSAPI": want PLAIN`) {
		t.Errorf("unknown mechanism: %v", err)
	}
	m := mustLogin(t, broker.ScramSHA256, "u", fixed("secret\x07word"))
	_, _, err := m.Start(t.Context())
	if err == nil || strings.Contains(err.Error(), "7") {
		t.Errorf("a password that SCRAM does not allow: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if s := fmt.Sprintf(verb, m); strings.Contains(s, "secret") {
			t.Errorf("%s shows the password: %s", verb, s)
		}
	}
}
