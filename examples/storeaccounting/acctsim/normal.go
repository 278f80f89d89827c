package acctsim

import (
	"math/big"
	"regexp"
	"strings"

	"github.com/tectari/dovetail/examples/storeaccounting/server"
)

// decimal is what accounting takes for an amount.
var decimal = regexp.MustCompile(`^-?[0-9]{1,12}(\.[0-9]{1,12})?$`)

// normal returns what accounting makes of a value, or the problem it has with
// it.
func normal(field, value string) (string, error) {
	switch field {
	case "name", "address", "phone":
		return strings.Join(strings.Fields(value), " "), nil
	case "email":
		return strings.ToLower(strings.TrimSpace(value)), nil
	case "tax_number":
		return strings.ToUpper(strings.Join(strings.Fields(value), "")), nil
	case "payment_terms":
		return strings.ToUpper(strings.TrimSpace(value)), nil
	case "balance", "total":
		amount, err := cents(value)
		if err != nil {
			return "", server.Invalid(field, "not a decimal number")
		}
		return amount, nil
	default: // reference, number, date
		return value, nil
	}
}

// cents rounds an amount half-up (away from zero) to two decimals.
func cents(value string) (string, error) {
	value = strings.TrimSpace(value)
	if !decimal.MatchString(value) {
		return "", errDecimal
	}
	exact, ok := new(big.Rat).SetString(value)
	if !ok {
		return "", errDecimal
	}
	rounded := exact.FloatString(2)
	if rounded == "-0.00" {
		rounded = "0.00"
	}
	return rounded, nil
}
