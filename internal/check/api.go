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

// checkAPI calls the API once, to test the key and to compare the clocks.
func checkAPI(ctx context.Context, cfg configs.Config, key *app.Key, o Options) (f Findings) {
	const name = "api/key"
	client, err := passfort.New(passfort.Options{
		BaseURL: cfg.API.BaseURL, Key: key.Current, Timeout: min(cfg.API.Timeout, o.Timeout), AllowHTTP: cfg.API.AllowHTTP,
		MaxConnections: 1, UserAgent: "verdict/" + app.Build().Version, DialContext: o.DialAPI,
	})
	if err != nil {
		f.fail(name, err.Error(), "correct the section api")
		return f
	}
	defer client.Close()
	start := time.Now()
	who, answer, err := client.WhoAmI(ctx)
	end := time.Now()
	if err != nil {
		status, hint := keyFault(err, cfg.API.BaseURL)
		if cfg.API.Probe == configs.ProbeNone && !isKeyRefused(err) {
			status, hint = Warn, "the key could not be tested, since api.probe is none and whoami may not be offered"
		}
		f = append(f, Finding{status, name, err.Error(), hint})
	} else {
		f.ok(name, fmt.Sprintf("accepted in %s as %q of %q", end.Sub(start).Round(time.Millisecond), who.AuditeeName, who.Institution.Name))
	}
	if answer.Status != 0 {
		checkAPIClock(&f, answer.Date, start, end)
	}
	return f
}

func isKeyRefused(err error) bool {
	e, ok := errors.AsType[*passfort.Error](err)
	return ok && e.Kind == passfort.KindKey
}

// keyFault returns the status of a failed whoami, and what to do about it.
func keyFault(err error, baseURL string) (status Status, hint string) {
	wrongURL := "is api.base_url (" + baseURL + ") right?"
	failed, ok := errors.AsType[*passfort.Error](err)
	if !ok {
		return Fail, wrongURL
	}
	const wrongKey = "correct api.key or the file api.key_file, which is read again whenever the key is refused"
	const untested = "the key could not be tested; run would wait for the API and then continue"
	switch failed.Kind {
	case passfort.KindKey:
		if failed.Foreign {
			return Fail, "the answer is not the API's: a gateway or proxy in front of it may have refused the call, or " + wrongKey
		}
		return Fail, wrongKey
	case passfort.KindConnection:
		return Fail, wrongURL + " Can this machine reach it (name, firewall, proxy, certificate)?"
	case passfort.KindForeign:
		return Fail, wrongURL + " It ends with the API's version. Is a gateway or proxy in front of the API?"
	case passfort.KindThrottled:
		return Warn, untested
	case passfort.KindTimeout, passfort.KindServer:
		return Fail, untested
	case passfort.KindNotFound, passfort.KindRejected, passfort.KindUnconfirmed, passfort.KindInvalid, passfort.KindCanceled:
	}
	return Fail, wrongURL
}
