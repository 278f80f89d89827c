package ownership

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"email", "vat_id", "phone", "phone_2", "", strings.Repeat("x", 100)}
	for wrong, want := range map[string]string{
		"emial":                  "email",
		"phoen":                  "phone",
		"elmia":                  "",
		"emai":                   "email",
		"eMail":                  "email",
		"e-mail":                 "email",
		"vatID":                  "vat_id",
		"vat id":                 "vat_id",
		"phone2":                 "phone_2",
		"fone":                   "",
		"balance":                "",
		"":                       "",
		"x":                      "",
		strings.Repeat("x", 100): "",
	} {
		require.Equal(t, want, nearest(wrong, known), "%q", wrong)
	}
	require.Equal(t, 3, distance("kitten", "sitting"))
	require.Equal(t, 4, distance("", "four"))
	require.Equal(t, 4, distance("four", ""))
}
