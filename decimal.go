package dovetail

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrNotDecimal is returned for a text that is not a plain decimal number.
var ErrNotDecimal = errors.New("dovetail: not a decimal number")

// maxDecimal bounds the digits of a decimal: hostile input costs an error. It
// leaves room for every coefficient and scale that DecimalOf takes.
const maxDecimal = 300

// Decimal returns the exact value of a decimal number in plain notation:
// "-12.50". Trailing zeros after the point do not count. It returns
// ErrNotDecimal for anything else: an exponent, a thousands separator, "NaN", an
// empty text, more than 300 digits. The
// error does not hold the text.
func Decimal(text string) (Value, error) {
	digits, neg := text, false
	if digits != "" && (digits[0] == '-' || digits[0] == '+') {
		neg = digits[0] == '-'
		digits = digits[1:]
	}
	whole, frac, dotted := strings.Cut(digits, ".")
	if whole == "" || (dotted && frac == "") || len(whole)+len(frac) > maxDecimal || !allDigits(whole) || !allDigits(frac) {
		return Value{}, notDecimal(text)
	}
	frac = strings.TrimRight(frac, "0")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" && frac == "" {
		return Value{kind: KindDecimal}, nil
	}
	if len(whole)+len(frac) <= 18 {
		n, err := strconv.ParseInt(whole+frac, 10, 64)
		if err != nil {
			return Value{}, notDecimal(text)
		}
		if neg {
			n = -n
		}
		return Value{kind: KindDecimal, n: n, scale: uint8(len(frac))}, nil // #nosec G115 -- at most 18
	}
	if whole == "" {
		whole = "0"
	}
	s := whole
	if frac != "" {
		s += "." + frac
	}
	if neg {
		s = "-" + s
	}
	return Value{kind: KindDecimal, s: s}, nil
}

// notDecimal says how long the text is and not what it says: it is a value of a
// record, and errors reach logs.
func notDecimal(text string) error { return fmt.Errorf("%w: %d bytes", ErrNotDecimal, len(text)) }

// DecimalOf returns coefficient × 10^-scale exactly: DecimalOf(1250, 2) is 12.5.
func DecimalOf(coefficient int64, scale uint8) Value {
	if coefficient == math.MinInt64 || coefficient > 999_999_999_999_999_999 || coefficient < -999_999_999_999_999_999 || scale > 18 {
		v, err := Decimal(shift(strconv.FormatInt(coefficient, 10), int(scale)))
		if err != nil {
			panic("dovetail: DecimalOf made a text that Decimal refuses") // at most 256 digits, so none
		}
		return v
	}
	for scale > 0 && coefficient%10 == 0 {
		coefficient /= 10
		scale--
	}
	if coefficient == 0 {
		scale = 0
	}
	return Value{kind: KindDecimal, n: coefficient, scale: scale}
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// shift puts the point of an integer's text scale digits from its end.
func shift(digits string, scale int) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if scale == 0 {
		return sign + digits
	}
	if pad := scale + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// compareDecimal compares two plain decimal texts without converting them.
func compareDecimal(a, b string) int {
	an, bn := strings.HasPrefix(a, "-"), strings.HasPrefix(b, "-")
	if an != bn {
		return sign(an)
	}
	if an {
		a, b = b[1:], a[1:]
	}
	aw, af, _ := strings.Cut(a, ".")
	bw, bf, _ := strings.Cut(b, ".")
	if len(aw) != len(bw) {
		return sign(len(aw) < len(bw))
	}
	if c := strings.Compare(aw, bw); c != 0 {
		return c
	}
	return strings.Compare(af, bf)
}
