package codec

// Remembered is how many schema IDs are held.
func Remembered(d *Decoder) int {
	d.registry.mu.Lock()
	defer d.registry.mu.Unlock()
	return len(d.registry.slots)
}
