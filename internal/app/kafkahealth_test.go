package app

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kafkaHealthTest is a kafkaHealth with what it logs and shows.
type kafkaHealthTest struct {
	kafkaHealth
	logs   bytes.Buffer
	paused []bool // calls of pause
	shown  bool   // by the last call of pause or show
}

func newKafkaHealthTest() *kafkaHealthTest {
	k := new(kafkaHealthTest)
	k.log, k.failing = slog.New(slog.NewTextHandler(&k.logs, nil)), make(map[string]error)
	k.pause = func(on bool) { k.paused, k.shown = append(k.paused, on), on }
	k.show = func(on bool) { k.shown = on }
	return k
}

func TestKafkaHealthMakesOnePauseOfManyFailures(t *testing.T) {
	k, away := newKafkaHealthTest(), errors.New("away")
	k.set("publish", nil)
	k.set("publish", away)
	k.set("publish", away)
	k.set("fetch", away)
	k.set("publish", nil) // the log names fetch now
	k.set("commit", away)
	k.set("commit", nil) // the log did not name it
	k.set("fetch", nil)
	if want := []bool{true, false}; !slices.Equal(k.paused, want) {
		t.Errorf("pauses %v, want %v", k.paused, want)
	}
	lines := strings.Split(strings.TrimSpace(k.logs.String()), "\n")
	for i, want := range []string{"pause=kafka part=publish err=away", "part=fetch err=away", "pause=kafka"} {
		if i >= len(lines) || !strings.HasSuffix(lines[i], want) {
			t.Fatalf("the log is %q, want line %d to end with %q", lines, i, want)
		}
	}
	if len(lines) != 3 {
		t.Errorf("the log has %d lines, want 3: %q", len(lines), lines)
	}
}

func TestKafkaHealthShowsTheRegistryAndHoldsNothing(t *testing.T) {
	k, away := newKafkaHealthTest(), errors.New("away")
	k.setRegistry(true)
	if !k.shown || len(k.paused) != 0 {
		t.Errorf("shown %v, pauses %v", k.shown, k.paused)
	}
	k.set("publish", away)
	k.set("publish", nil)
	if !k.shown {
		t.Error("not shown, though records still wait for the registry")
	}
	k.set("publish", away)
	k.setRegistry(false)
	if !k.shown {
		t.Error("not shown, though a part still fails")
	}
	k.set("publish", nil)
	if k.shown {
		t.Error("still shown")
	}
}

func TestKafkaHealthKeepsSinceWhenItPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKafkaHealthTest()
		want := func(since time.Time, why string) {
			t.Helper()
			if at, text := k.kafkaHealth.paused(); !at.Equal(since) || text != why {
				t.Errorf("since %v: %q, want %v: %q", at, text, since, why)
			}
		}
		want(time.Time{}, "")
		began := time.Now()
		k.setRegistry(true)
		time.Sleep(time.Second)
		want(began, "records wait for the Schema Registry")
		k.set("publish", errors.New("away"))
		want(began, "Kafka requests fail (publish: away)")
		k.setRegistry(false)
		k.set("commit", errors.New("gone"))
		k.set("publish", nil)
		want(began, "Kafka requests fail (commit: gone)")
		k.set("commit", nil)
		want(time.Time{}, "")
		time.Sleep(time.Second)
		k.set("commit", errors.New("gone"))
		want(began.Add(2*time.Second), "Kafka requests fail (commit: gone)")
	})
}
