package app

import (
	"verdict/configs"
	"verdict/internal/decision/codec"
)

// NewDecoder returns the decoder of the configured formats. o has what the configuration
// does not say.
func NewDecoder(cfg configs.Decode, o codec.Options) (*codec.Decoder, error) {
	o.Format, o.RegistryURL, o.UserAgent = cfg.Format, cfg.RegistryURL.Reveal(), userAgent()
	return codec.New(o)
}
