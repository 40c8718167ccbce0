package decision

// Preflight says when a task is read before it is completed. Each setting
// includes the one before it.
type Preflight string

// The preflight settings.
const (
	PreflightNever    Preflight = "never"
	PreflightRetry    Preflight = "retry"    // after a failure that may have completed the task
	PreflightBackfill Preflight = "backfill" // also before each decision of the backfill lane
	PreflightAlways   Preflight = "always"
)

// Choices returns the values that the configuration accepts.
func (Preflight) Choices() []string {
	return choices(PreflightNever, PreflightRetry, PreflightBackfill, PreflightAlways)
}

// OnConflict says what happens to a decision whose task was already completed
// in the opposite state.
type OnConflict string

// The conflict settings.
const (
	ConflictDeadLetter OnConflict = "dead_letter"
	ConflictOverwrite  OnConflict = "overwrite"
	ConflictSkip       OnConflict = "skip"
)

// Choices returns the values that the configuration accepts.
func (OnConflict) Choices() []string {
	return choices(ConflictDeadLetter, ConflictOverwrite, ConflictSkip)
}

// Format is the format of decision values.
type Format string

// The formats. FormatAuto tells the others apart record by record.
const (
	FormatAuto        Format = "auto"
	FormatJSON        Format = "json"
	FormatCloudEvents Format = "cloudevents"
	FormatAvro        Format = "avro"
	FormatProtobuf    Format = "protobuf"
)

// Choices returns the values that the configuration accepts.
func (Format) Choices() []string {
	return choices(FormatAuto, FormatJSON, FormatCloudEvents, FormatAvro, FormatProtobuf)
}

func choices[T ~string](all ...T) []string {
	texts := make([]string, len(all))
	for i, c := range all {
		texts[i] = string(c)
	}
	return texts
}
