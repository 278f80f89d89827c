package orders

import (
	"bytes"
	"compress/gzip"
	_ "embed" // for the order history
	"fmt"
)

//go:embed superstore.csv.gz
var superstore []byte

// Sample reads the embedded order history: 5,009 orders of 793 customers,
// 9,994 lines, 2014 to 2017. NOTICE says where it comes from.
func Sample() ([]Order, []BadRow, error) {
	r, err := gzip.NewReader(bytes.NewReader(superstore))
	if err != nil {
		return nil, nil, fmt.Errorf("open the embedded orders: %w", err)
	}
	return Read(r)
}
