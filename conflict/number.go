package conflict

import (
	"context"
	"math/big"
	"strings"

	"github.com/tectari/dovetail"
)

// Max takes the greater value: the larger number, the later time, the text that
// sorts last by its bytes. It hands on to otherwise, which is required, what has
// no order: null, composites, bools, two kinds. Laws: deterministic, order-free,
// takes a side.
func Max(otherwise Resolver) Resolver { return bySize("max", "greater", 1, otherwise) }

// Min takes the lesser value, as Max takes the greater. Laws: those of Max.
func Min(otherwise Resolver) Resolver { return bySize("min", "lesser", -1, otherwise) }

func bySize(name, word string, want int, otherwise Resolver) Resolver {
	return orElse(name, Traits{OrderFree: true}, otherwise, nil, func(c Conflict) (Decision, string) {
		l, r := c.Left, c.Right
		cmp, ok := dovetail.Compare(l.Value, r.Value)
		if k := l.Value.Kind(); !ok || k == dovetail.KindRaw || k == dovetail.KindBool {
			return Decision{}, "the two values have no order"
		}
		if cmp == 0 { // an int and a decimal of one size: either will do, but always the same
			if l.Value.Kind() == dovetail.KindInt {
				cmp = want
			} else {
				cmp = -want
			}
		}
		if cmp == want {
			return Take(l, said(l)+" has the "+word+" value"), ""
		}
		return Take(r, said(r)+" has the "+word+" value"), ""
	})
}

// Counter adds what each side changed to what both agreed on: with 10 agreed, 7
// and 12 make 9. Whole numbers and decimals are exact. Two sides that changed it
// by the same amount count twice. It parks without a base, for anything but
// numbers, and for a sum of whole numbers beyond 64 bits. Laws: deterministic,
// order-free, makes new values.
func Counter() Resolver {
	return build("counter", Traits{OrderFree: true, Invents: true}, nil, nil, func(_ context.Context, c Conflict) Decision {
		base, okBase := parseNumber(c.Base)
		left, okLeft := parseNumber(c.Left.Value)
		right, okRight := parseNumber(c.Right.Value)
		switch {
		case !okLeft || !okRight:
			return ParkFor("a side is not a number")
		case !okBase:
			return ParkFor("no agreed number is known to count from")
		}
		sum, ok := left.plus(right).minus(base).value()
		if !ok {
			return ParkFor("the sum is too large")
		}
		const why = "the changes of both sides are added"
		switch sum {
		case c.Left.Value:
			return Take(c.Left, why)
		case c.Right.Value:
			return Take(c.Right, why)
		default:
			return Set(sum, why)
		}
	})
}

// number is coefficient × 10^-scale, of any size.
type number struct {
	coefficient *big.Int
	scale       int
	decimal     bool
}

// parseNumber reads an int or a decimal, and returns false for any other kind.
func parseNumber(v dovetail.Value) (number, bool) {
	if v.Kind() != dovetail.KindInt && v.Kind() != dovetail.KindDecimal {
		return number{}, false
	}
	whole, frac, _ := strings.Cut(v.Text(), ".")
	n, ok := new(big.Int).SetString(whole+frac, 10)
	return number{coefficient: n, scale: len(frac), decimal: v.Kind() == dovetail.KindDecimal}, ok
}

func (n number) plus(m number) number {
	scale := max(n.scale, m.scale)
	sum := new(big.Int).Add(n.at(scale), m.at(scale))
	return number{coefficient: sum, scale: scale, decimal: n.decimal || m.decimal}
}

func (n number) minus(m number) number {
	m.coefficient = new(big.Int).Neg(m.coefficient)
	return n.plus(m)
}

// at returns the coefficient at a larger scale.
func (n number) at(scale int) *big.Int {
	shift := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-n.scale)), nil)
	return shift.Mul(shift, n.coefficient)
}

// value returns the number as a Value: an int when only ints went into it. It
// returns false when it does not fit.
func (n number) value() (dovetail.Value, bool) {
	if !n.decimal {
		return dovetail.Int(n.coefficient.Int64()), n.coefficient.IsInt64()
	}
	digits := new(big.Int).Abs(n.coefficient).String()
	if pad := n.scale + 1 - len(digits); pad > 0 {
		digits = strings.Repeat("0", pad) + digits
	}
	text := digits[:len(digits)-n.scale]
	if n.scale > 0 {
		text += "." + digits[len(digits)-n.scale:]
	}
	if n.coefficient.Sign() < 0 {
		text = "-" + text
	}
	v, err := dovetail.Decimal(text)
	return v, err == nil
}
