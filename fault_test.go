package dovetail_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	fs := dovetail.Faults{Package: "sync"}
	require.NoError(t, fs.Err())
	fs.List = append(fs.List, dovetail.Fault{Text: "only a warning", Warning: true})
	require.NoError(t, fs.Err(), "a warning stops no start")

	fs.Add("OWN001", `Config.Fields["phone"]`, "no rule", `write "phone": ownership.By("crm")`)
	require.EqualError(t, fs.Err(), `sync: OWN001 Config.Fields["phone"]: no rule; write "phone": ownership.By("crm")`)
	fs.Add("", "Config.Alerts", "required", "")
	fs.Add("", "", "nothing else", "")
	require.EqualError(t, fs.Err(), "sync: 3 faults:\n\tOWN001 Config.Fields[\"phone\"]: no rule; write \"phone\": ownership.By(\"crm\")\n\tConfig.Alerts: required\n\tnothing else")
	require.ErrorAs(t, fs.Err(), new(*dovetail.Faults))
}
