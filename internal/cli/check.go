package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"verdict/configs"
	"verdict/internal/app"
)

func checkCommand(s Process) *cobra.Command {
	var asJSON bool
	o := checkOptions{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether a run with this configuration would work",
		Long: `Check looks at everything that run needs, in one pass, and changes nothing:
configuration, brokers, topics, the rights to them, the group and its members,
the backlog, the API key, the clocks and the Schema Registry, if one is
configured. Each check is one line,

  ok|warn|fail  name  detail; what to do about it

on standard output. A warning keeps nothing from working. The exit status is 0
if run would work, 1 if not, 2 if the configuration itself is at fault. The one
call to the API (whoami) takes no token of the rate limit.

Rights are tried: reading and writing with a partition that does not exist,
taking part in the group with a member that does not exist. Kafka's protocol
does not tell a broker's clock; only records from the future are looked for.`,
		Example: `  verdict check --config verdict.yaml
  verdict check --json | jq '.checks[] | select(.status != "ok")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.timeout <= 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--timeout: want more than 0s, is %s", o.timeout)}
			}
			cfg, err := loadConfig(cmd, s, true)
			var faults configs.Faults
			if err != nil && !errors.As(err, &faults) {
				return err
			}
			found, faults := check(cmd.Context(), cfg, faults, o)
			if err := found.print(s.Out, asJSON); err != nil {
				return err
			}
			if len(faults) > 0 {
				return faults
			}
			if n := found.count(statusFail); n > 0 {
				return fmt.Errorf("%d of %s failed: run would not work", n, plural(len(found), "check"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object instead of lines")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Second, "longest time for one check")
	configFlags(cmd)
	return cmd
}

type checkOptions struct {
	timeout                         time.Duration // for each check; above 0
	dialKafka, dialAPI, dialSchemas app.DialFunc  // nil: TCP
}

// checkStatus is how a check ended.
type checkStatus string

// The ways a check ends.
const (
	statusOK   checkStatus = "ok"
	statusWarn checkStatus = "warn" // run would work
	statusFail checkStatus = "fail" // run would not work
)

// finding is what one check found.
type finding struct {
	Status checkStatus `json:"status"`
	Name   string      `json:"name"`
	Detail string      `json:"detail"`
	Hint   string      `json:"hint,omitempty"` // what to do about it
}

// findings are what checks found, in their order.
type findings []finding

func (f *findings) ok(name, detail string) {
	*f = append(*f, finding{Status: statusOK, Name: name, Detail: detail})
}

func (f *findings) warn(name, detail, hint string) {
	*f = append(*f, finding{statusWarn, name, detail, hint})
}

func (f *findings) fail(name, detail, hint string) {
	*f = append(*f, finding{statusFail, name, detail, hint})
}

// failed is a check that failed for a reason that none of its own hints is for.
func (f *findings) failed(name string, err error) {
	f.fail(name, err.Error(), "try again; if it stays so, the brokers' logs say more")
}

func (f findings) count(s checkStatus) int {
	n := 0
	for _, one := range f {
		if one.Status == s {
			n++
		}
	}
	return n
}

func (f findings) print(to io.Writer, asJSON bool) error {
	if asJSON {
		report := struct {
			OK     bool     `json:"ok"`
			Checks findings `json:"checks"`
		}{f.count(statusFail) == 0, f}
		e := json.NewEncoder(to)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	for _, one := range f {
		text := one.Detail
		if one.Hint != "" {
			text += "; " + one.Hint
		}
		if _, err := fmt.Fprintf(to, "%-4s  %s  %s\n", one.Status, one.Name, inOneLine(text)); err != nil {
			return err
		}
	}
	return nil
}

// inOneLine is text, some of it from outside, as one line without control
// characters.
func inOneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
}

// check makes every check that the configuration's faults leave sense in, and
// gives the faults, with those of the files that it names.
func check(ctx context.Context, cfg configs.Config, faults configs.Faults, o checkOptions) (findings, configs.Faults) {
	kafka := &kafkaCheck{cfg: cfg, dial: o.dialKafka, timeout: o.timeout}
	var key *app.Key
	if !concerns(faults, "kafka.") {
		connection, err := app.Connect(cfg.Kafka, o.dialKafka)
		faults = addFaults(faults, err)
		if connection != nil {
			defer connection.Close()
			kafka.connection = connection
		}
	}
	if !concerns(faults, "api.") {
		k, err := app.NewKey(cfg.API)
		faults = addFaults(faults, err)
		if err == nil {
			key = k
		}
	}

	var all findings
	for _, f := range faults {
		at := configs.Fault{Key: f.Key, Wrong: f.Wrong, From: f.From}
		all.fail("config", at.Error(), f.Want)
	}
	if len(faults) == 0 {
		all.ok("config", "every key is valid")
	}
	checkFilesAndDrain(&all, cfg)
	var ofKafka, ofAPI, ofRegistry findings
	var checks sync.WaitGroup
	if kafka.connection != nil {
		checks.Go(func() { ofKafka = kafka.run(ctx) })
	} else {
		ofKafka.warn("kafka", "not checked, since its configuration is at fault", "correct that first")
	}
	if key != nil {
		checks.Go(func() { ofAPI = checkAPI(ctx, cfg, key, o) })
	} else {
		ofAPI.warn("api", "not checked, since its configuration is at fault", "correct that first")
	}
	if !concerns(faults, "decode.") {
		checks.Go(func() { ofRegistry = checkRegistry(ctx, cfg, o) })
	}
	checks.Wait()
	return slices.Concat(all, ofKafka, ofAPI, ofRegistry), faults
}

// concerns says whether one of the faults is about a section or, as a file that
// can't be read is, about none in particular.
func concerns(faults configs.Faults, section string) bool {
	for _, f := range faults {
		if strings.HasPrefix(f.Key, section) || !strings.Contains(f.Key, ".") {
			return true
		}
	}
	return false
}

// addFaults adds the faults that are in err.
func addFaults(faults configs.Faults, err error) configs.Faults {
	var more configs.Faults
	switch {
	case err == nil:
	case errors.As(err, &more):
		faults = append(faults, more...)
	default:
		faults = append(faults, &configs.Fault{Key: "configuration", Wrong: err.Error()})
	}
	return faults
}
