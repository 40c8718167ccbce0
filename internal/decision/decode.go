package decision

// Decode reads the decision in a record's value: as JSON, or in a CloudEvent if
// the headers say so. The error is an *Invalid with every fault; the Decision then
// still has its ID if that could be read.
func Decode(rec *Record) (Decision, error) {
	if IsEvent(rec) {
		event, data := OpenEvent(rec)
		return DecodeValue(rec, event, data)
	}
	return DecodeValue(rec, nil, rec.Value)
}

// DecodeValue reads the decision in value, a JSON object that is in rec or was made
// from rec's value. event is the CloudEvent around it, nil for none: its attributes
// fill in fields that the decision itself does not have.
func DecodeValue(rec *Record, event *Event, value []byte) (Decision, error) {
	var d Decision
	var f fields
	if event != nil {
		if event.noData {
			return Unreadable(event, "")
		}
		f.faults = append(f.faults, event.faults...)
	}
	if fault := ObjectFault(rec, value, "a decision"); fault != "" {
		return Unreadable(event, fault)
	}
	members(value, f.add)
	f.fillFrom(event)

	d.ID, d.OwnID = f.id()
	if !d.OwnID {
		d.ID = rec.Origin().String()
	}
	profileID := f.apiID("profile_id")
	taskID, key := f.task()
	d.Task, d.Key = NewTask(profileID, taskID), key
	d.State = f.state()
	d.DecidedAt, _ = f.timestamp("decided_at")
	_, d.ExpiresAt = f.timestamp("expires_at")
	d.Source = f.boundedText("source")
	d.Reason = f.boundedText("reason")
	d.BatchID = f.boundedText("batch_id")

	if len(f.faults) > 0 {
		if !d.OwnID {
			d.ID = ""
		}
		return d, &Invalid{Faults: f.faults}
	}
	return d, nil
}

// Unreadable returns what is known about a record whose value can't be read as a
// decision because of one problem: the event's ID, if there is an event, and an
// *Invalid with every fault.
func Unreadable(event *Event, problem string) (Decision, error) {
	var d Decision
	var f fields
	field := "value"
	if event != nil {
		f.faults = append(f.faults, event.faults...)
		if event.dataField != "" {
			field = event.dataField
		}
		f.fillFrom(event)
		d.ID, d.OwnID = f.id()
	}
	if event == nil || !event.noData {
		f.fault(field, "%s", problem)
	}
	return d, &Invalid{Faults: f.faults}
}
