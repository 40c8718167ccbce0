package codec

// Remembered returns the number of schema IDs held.
func Remembered(d *Decoder) int {
	d.schemas.mu.Lock()
	defer d.schemas.mu.Unlock()
	return len(d.schemas.slots)
}
