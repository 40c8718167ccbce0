package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"verdict/configs"
	"verdict/internal/app"
	"verdict/internal/passfort"
)

// clockTolerance is how far two clocks may be apart without a word.
const clockTolerance = 5 * time.Second

// checkAPI asks the API once who the key is, and what its clock says.
func checkAPI(ctx context.Context, cfg configs.Config, key *app.Key, o Options) (f Findings) {
	client, err := passfort.New(passfort.Options{
		BaseURL: cfg.API.BaseURL, Key: key.Key, Timeout: min(cfg.API.Timeout, o.Timeout), AllowHTTP: cfg.API.AllowHTTP,
		UserAgent: "verdict/" + app.Build().Version, DialContext: o.DialAPI,
	})
	if err != nil {
		f.fail("api/key", err.Error(), "correct the section api")
		return f
	}
	defer client.Close()
	asked := time.Now()
	who, answer, err := client.WhoAmI(ctx)
	answered := time.Now()
	if err != nil {
		hint := "is api.base_url (" + cfg.API.BaseURL + ") right?"
		if failed, ok := errors.AsType[*passfort.Error](err); ok {
			switch failed.Kind {
			case passfort.KindKey:
				hint = "correct api.key or the file api.key_file, which is read again whenever the key is refused"
			case passfort.KindConnection:
				hint += " Is the way there open (name, firewall, proxy, certificate)?"
			case passfort.KindTimeout, passfort.KindServer, passfort.KindThrottled:
				hint = "the key could not be tried; run would wait for the API and go on by itself"
			}
			if failed.Kind == passfort.KindThrottled {
				f.warn("api/key", err.Error(), hint)
			} else {
				f.fail("api/key", err.Error(), hint)
			}
		} else {
			f.fail("api/key", err.Error(), hint)
		}
	} else {
		f.ok("api/key", fmt.Sprintf("accepted in %s as %q of %q", answered.Sub(asked).Round(time.Millisecond), who.AuditeeName, who.Institution.Name))
	}
	if answer.Status != 0 {
		checkAPIClock(&f, answer.Date, asked, answered)
	}
	return f
}

// checkAPIClock compares the API's clock, which it says to the second, with the
// time in which the call was made.
func checkAPIClock(f *Findings, date, asked, answered time.Time) {
	const name, hint = "clock/api", "set this machine's clock right (NTP): decisions expire by it"
	if date.IsZero() {
		f.ok(name, "not compared: the API did not say its time")
		return
	}
	var apart time.Duration // how far this machine is ahead
	switch latest := date.Add(time.Second); {
	case asked.After(latest):
		apart = asked.Sub(latest)
	case answered.Before(date):
		apart = answered.Sub(date)
	}
	switch {
	case apart > clockTolerance:
		f.warn(name, fmt.Sprintf("this machine is %s or more ahead of the API", apart.Round(time.Second)), hint)
	case apart < -clockTolerance:
		f.warn(name, fmt.Sprintf("this machine is %s or more behind the API", -apart.Round(time.Second)), hint)
	default:
		f.ok(name, fmt.Sprintf("within %s of the API's", clockTolerance))
	}
}
