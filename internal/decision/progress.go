package decision

// Progress is how far an unsettled decision got. It travels in the metadata of
// its partition's commit, so that the next owner of the partition carries on
// where the last one stopped.
type Progress struct {
	Attempts int // calls already spent on it

	// MaybeApplied reports that an earlier call may have completed the task
	// although no answer said so. The next attempt then looks at the task first.
	MaybeApplied bool
}
