package idempotency

import "strconv"

// number writes a number as its significant digits and a power of ten, so that
// each number has one form: 1.50, 1.5 and 15e-1 are "15e-1;".
func (c *canon) number() error {
	neg := c.peek() == '-'
	if neg {
		c.pos++
	}
	whole := c.digits()
	if len(whole) == 0 || (len(whole) > 1 && whole[0] == '0') {
		return c.fault("not a number")
	}
	var frac []byte
	if c.peek() == '.' {
		c.pos++
		if frac = c.digits(); len(frac) == 0 {
			return c.fault("not a number")
		}
	}
	exp, err := c.exponent()
	if err != nil {
		return err
	}
	c.decimal(neg, whole, frac, exp)
	return nil
}

func (c *canon) digits() []byte {
	start := c.pos
	for b := c.peek(); b >= '0' && b <= '9'; b = c.peek() {
		c.pos++
	}
	return c.in[start:c.pos]
}

func (c *canon) exponent() (int64, error) {
	if b := c.peek(); b != 'e' && b != 'E' {
		return 0, nil
	}
	c.pos++
	sign := ""
	if b := c.peek(); b == '-' || b == '+' {
		sign = string(b)
		c.pos++
	}
	exp, err := strconv.ParseInt(sign+string(c.digits()), 10, 32)
	if err != nil {
		return 0, c.fault("not an exponent that fits")
	}
	return exp, nil
}

func (c *canon) decimal(neg bool, whole, frac []byte, exp int64) {
	exp -= int64(len(frac))
	start := len(c.out)
	c.out = append(c.out, '#')
	if neg {
		c.out = append(c.out, '-')
	}
	first := len(c.out)
	zeros := true
	for _, part := range [...][]byte{whole, frac} {
		for _, b := range part {
			if zeros && b == '0' {
				continue
			}
			zeros = false
			c.out = append(c.out, b)
		}
	}
	for len(c.out) > first && c.out[len(c.out)-1] == '0' {
		c.out = c.out[:len(c.out)-1]
		exp++
	}
	if len(c.out) == first { // zero has no sign and no exponent
		c.out = append(c.out[:start], "#0"...)
		exp = 0
	}
	c.out = append(c.out, 'e')
	c.out = strconv.AppendInt(c.out, exp, 10)
	c.out = append(c.out, ';')
}
