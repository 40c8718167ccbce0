package configs

import "log/slog"

// choice is implemented by the types of keys that take one of a closed set of
// values. The sets that other packages work with are declared in package decision.
type choice interface{ Choices() []string }

// StartOffset says where to start in a partition that has no committed offset.
type StartOffset string

// The start offsets.
const (
	StartEarliest StartOffset = "earliest"
	StartLatest   StartOffset = "latest"
)

// Choices returns the values that the configuration accepts.
func (StartOffset) Choices() []string { return texts(StartEarliest, StartLatest) }

// SASLMechanism is a way to log in to Kafka.
type SASLMechanism string

// The SASL mechanisms.
const (
	SASLNone        SASLMechanism = ""
	SASLPlain       SASLMechanism = "PLAIN"
	SASLScramSHA256 SASLMechanism = "SCRAM-SHA-256"
	SASLScramSHA512 SASLMechanism = "SCRAM-SHA-512"
)

// Choices returns the values that the configuration accepts.
func (SASLMechanism) Choices() []string {
	return texts(SASLNone, SASLPlain, SASLScramSHA256, SASLScramSHA512)
}

// Probe says how to tell an outage of the API from a decision that fails on its own.
type Probe string

// The ways to tell.
const (
	ProbeWhoAmI Probe = "whoami"
	ProbeNone   Probe = "none"
)

// Choices returns the valid values.
func (Probe) Choices() []string { return texts(ProbeWhoAmI, ProbeNone) }

// RateLimitScope says whose limit api.rate_limit is.
type RateLimitScope string

// The scopes of the rate limit.
const (
	ScopeGroup    RateLimitScope = "group"
	ScopeInstance RateLimitScope = "instance"
)

// Choices returns the values that the configuration accepts.
func (RateLimitScope) Choices() []string { return texts(ScopeGroup, ScopeInstance) }

// LogLevel is the lowest level that is logged.
type LogLevel string

// The log levels.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// Choices returns the values that the configuration accepts.
func (LogLevel) Choices() []string { return texts(LogDebug, LogInfo, LogWarn, LogError) }

// Level returns slog's level for l, and slog.LevelInfo for an unknown l.
func (l LogLevel) Level() slog.Level {
	switch l {
	case LogDebug:
		return slog.LevelDebug
	case LogInfo:
		return slog.LevelInfo
	case LogWarn:
		return slog.LevelWarn
	case LogError:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// LogFormat is the format of log lines.
type LogFormat string

// The log formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// Choices returns the values that the configuration accepts.
func (LogFormat) Choices() []string { return texts(LogJSON, LogText) }

// texts returns the members of a closed set as text.
func texts[T ~string](members ...T) []string {
	s := make([]string, len(members))
	for i, m := range members {
		s[i] = string(m)
	}
	return s
}
