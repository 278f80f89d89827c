package orders

import (
	"errors"
	"strconv"
	"strings"
)

// amountScale is how many units make one: an Amount counts millionths.
const (
	amountPlaces = 6
	amountScale  = 1_000_000
	unitsPerCent = amountScale / 100
)

var errAmount = errors.New("not a decimal number")

// Amount is an exact amount of money in millionths, so that the thirds and
// tenths of a cent in the order history add up without rounding. The zero
// value is nothing.
type Amount int64

// ParseAmount reads a plain decimal such as "957.5775". It refuses exponents,
// thousands separators, signs other than a leading minus, more than six
// decimals that say something, and more than nine digits before the point.
func ParseAmount(s string) (Amount, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, frac, point := strings.Cut(digits, ".")
	frac = strings.TrimRight(frac, "0")
	switch {
	case !isDigits(whole), point && frac != "" && !isDigits(frac), strings.HasSuffix(digits, "."):
		return 0, errAmount
	case len(whole) > 9:
		return 0, errors.New("more than nine digits before the point")
	case len(frac) > amountPlaces:
		return 0, errors.New("more than six decimals")
	}
	units, err := strconv.ParseInt(whole+frac+strings.Repeat("0", amountPlaces-len(frac)), 10, 64)
	if err != nil {
		return 0, errAmount
	}
	if negative {
		units = -units
	}
	return Amount(units), nil
}

// Cents rounds half-up (away from zero) to whole cents.
func (a Amount) Cents() int64 {
	if a < 0 {
		return -(-a).Cents()
	}
	return (int64(a) + unitsPerCent/2) / unitsPerCent
}

// String writes all decimals that say something, and at least two.
func (a Amount) String() string {
	sign, n := "", int64(a)
	if n < 0 {
		sign, n = "-", -n
	}
	frac := strconv.FormatInt(amountScale+n%amountScale, 10)[1:]
	frac = frac[:2] + strings.TrimRight(frac[2:], "0")
	return sign + strconv.FormatInt(n/amountScale, 10) + "." + frac
}

// FormatCents writes whole cents as "957.58".
func FormatCents(cents int64) string {
	return Amount(cents * unitsPerCent).String()
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
