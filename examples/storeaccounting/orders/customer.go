package orders

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// Customer is a customer as the store first knows them.
type Customer struct {
	ID      string
	Name    string
	Email   string
	Phone   string
	Address string
}

// Customer returns the customer who placed o, with the derived e-mail address
// and phone number.
func (o Order) Customer() Customer {
	return Customer{
		ID:      o.CustomerID,
		Name:    o.CustomerName,
		Email:   email(o.CustomerID, o.CustomerName),
		Phone:   phone(o.CustomerID),
		Address: o.Address,
	}
}

// plain spells the letters of the sample's names that an e-mail address should
// not carry. Any other letter outside ASCII is left out.
var plain = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "é", "e", "è", "e", "á", "a", "ó", "o", "ñ", "n", "ç", "c")

// email derives an address from ID and name. About one customer in 32 typed it
// with capitals, which accounting will not keep.
func email(id, name string) string {
	local := strings.Join(strings.Fields(strings.ToLower(name)), ".") + "." + strings.ToLower(id)
	local = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '.', c == '-':
			return c
		}
		return -1
	}, plain.Replace(local))
	if hash(id)%32 == 0 {
		local = strings.ToUpper(local[:1]) + local[1:]
	}
	return local + "@example.com"
}

// phone derives a number whose last four digits belong to nobody.
func phone(id string) string {
	h := hash(id)
	return fmt.Sprintf("+1 %d 555-01%02d", 201+h%789, h>>32%100)
}

func hash(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}
