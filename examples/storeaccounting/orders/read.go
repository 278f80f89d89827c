package orders

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// columns are the header names that a file must have, in any order and among
// any others.
var columns = []string{
	"Row ID", "Order ID", "Order Date", "Customer ID", "Customer Name", "Country", "City", "State", "Postal Code",
	"Product ID", "Product Name", "Sales", "Quantity",
}

// maxKey is the longest ID that a row may carry, in bytes.
const maxKey = 64

// Read reads an order history. It returns the orders by date and ID, and the
// rows that did not go through, by line. The error is for a file that cannot
// be read as a whole: an I/O error, no header, a column missing from it.
func Read(r io.Reader) (orders []Order, bad []BadRow, err error) {
	in := &splitter{in: bufio.NewReaderSize(r, 64<<10)}
	header, width, err := readHeader(in)
	if err != nil {
		return nil, nil, err
	}
	b := book{
		header: header,
		width:  width,
		lines:  make(map[string]int),
		rowIDs: make(map[string]int),
		orders: make(map[string]*Order),
		at:     make(map[string][]int),
		held:   make(map[string]int),
	}
	for {
		record, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read orders: line %d: %w", in.line, err)
		}
		b.add(record)
	}
	orders, bad = b.finish()
	return orders, bad, nil
}

// readHeader returns where each column stands, and how many there are.
func readHeader(in *splitter) (header map[string]int, width int, err error) {
	record, err := in.next()
	if errors.Is(err, io.EOF) {
		return nil, 0, errors.New("read orders: the file is empty")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read orders: header: %w", err)
	}
	text := strings.TrimPrefix(record.text, "\ufeff")
	if !utf8.ValidString(text) {
		return nil, 0, errors.New("read orders: the header is not UTF-8")
	}
	names, err := parse(text)
	if err != nil {
		return nil, 0, fmt.Errorf("read orders: header: %w", err)
	}
	header = make(map[string]int, len(names))
	for i, name := range names {
		name = strings.TrimSpace(name)
		if _, twice := header[name]; twice && slices.Contains(columns, name) {
			return nil, 0, fmt.Errorf("read orders: the header has %q twice", name)
		}
		header[name] = i
	}
	var missing []string
	for _, name := range columns {
		if _, ok := header[name]; !ok {
			missing = append(missing, strconv.Quote(name))
		}
	}
	if missing != nil {
		return nil, 0, fmt.Errorf("read orders: the header lacks %s", strings.Join(missing, ", "))
	}
	return header, len(names), nil
}

// book collects rows into orders.
type book struct {
	header map[string]int
	width  int
	lines  map[string]int // text of a line → where it stood first
	rowIDs map[string]int // row ID → line
	orders map[string]*Order
	at     map[string][]int // order → lines of its good rows
	held   map[string]int   // order → line of its first bad row
	bad    []BadRow
}

func (b *book) add(record record) {
	if first, again := b.lines[record.text]; again {
		b.bad = append(b.bad, BadRow{Line: record.line, Reason: fmt.Sprintf("repeats line %d word for word", first)})
		return
	}
	b.lines[record.text] = record.line

	row, err := b.row(record)
	if err == nil {
		err = b.place(row)
	}
	if err != nil {
		b.bad = append(b.bad, BadRow{Line: record.line, OrderID: row.order.ID, Reason: err.Error()})
		if _, held := b.held[row.order.ID]; !held && row.order.ID != "" {
			b.held[row.order.ID] = record.line
		}
	}
}

// place adds a good row to its order.
func (b *book) place(r row) error {
	if first, again := b.rowIDs[r.item.RowID]; again {
		return fmt.Errorf("row ID %s was line %d already", r.item.RowID, first)
	}
	o, known := b.orders[r.order.ID]
	if !known {
		o = &r.order
		b.orders[o.ID] = o
	}
	switch {
	case o.CustomerID != r.order.CustomerID, o.CustomerName != r.order.CustomerName:
		return fmt.Errorf("another customer than on line %d of the same order", b.at[o.ID][0])
	case o.PlacedOn != r.order.PlacedOn:
		return fmt.Errorf("another order date than on line %d of the same order", b.at[o.ID][0])
	case o.Address != r.order.Address:
		return fmt.Errorf("another address than on line %d of the same order", b.at[o.ID][0])
	}
	for _, l := range o.Lines {
		if l.ProductID == r.item.ProductID && l.Product == r.item.Product && l.Quantity == r.item.Quantity && l.Amount == r.item.Amount {
			r.item.RepeatOf = l.RowID
			break
		}
	}
	b.rowIDs[r.item.RowID] = r.line
	o.Lines = append(o.Lines, r.item)
	b.at[o.ID] = append(b.at[o.ID], r.line)
	return nil
}

// finish holds back the orders that lack a line and sorts the rest.
func (b *book) finish() ([]Order, []BadRow) {
	good := make([]Order, 0, len(b.orders))
	for id, o := range b.orders {
		culprit, held := b.held[id]
		if !held {
			good = append(good, *o)
			continue
		}
		for _, line := range b.at[id] {
			b.bad = append(b.bad, BadRow{Line: line, OrderID: id, Reason: fmt.Sprintf("order held back: line %d of it is bad", culprit)})
		}
	}
	slices.SortFunc(good, func(x, y Order) int {
		if c := strings.Compare(x.PlacedOn, y.PlacedOn); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	slices.SortFunc(b.bad, func(x, y BadRow) int { return x.Line - y.Line })
	return good, b.bad
}

// row is one good row: its order without lines, and its line.
type row struct {
	line  int
	order Order
	item  Line
}

// row reads one record. With an error it returns at least the order ID, if the
// record has one.
func (b *book) row(record record) (row, error) {
	r := row{line: record.line}
	if record.fault != "" {
		return r, errors.New(record.fault)
	}
	fields, err := parse(record.text)
	if err != nil {
		return r, err
	}
	if len(fields) > b.header["Order ID"] { // first, so that the order is held back whatever else is wrong
		r.order.ID = strings.TrimSpace(fields[b.header["Order ID"]])
	}
	switch {
	case len(fields) != b.width:
		return r, fmt.Errorf("%d columns, the header has %d", len(fields), b.width)
	case !utf8.ValidString(record.text):
		return r, errors.New("not UTF-8")
	}
	get := func(name string) string { return strings.TrimSpace(fields[b.header[name]]) }

	for _, name := range []string{"Row ID", "Order ID", "Customer ID", "Customer Name", "Product ID"} {
		if err := checkText(name, get(name)); err != nil {
			return r, err
		}
	}
	if _, err := time.Parse(time.DateOnly, get("Order Date")); err != nil {
		return r, fmt.Errorf("order date %.40q is not a date like 2016-11-08", get("Order Date"))
	}
	amount, err := ParseAmount(get("Sales"))
	if err != nil {
		return r, fmt.Errorf("sales %.40q: %w", get("Sales"), err)
	}
	if amount < 0 {
		return r, fmt.Errorf("sales %s is negative", amount)
	}
	quantity, err := strconv.Atoi(get("Quantity"))
	if err != nil || quantity < 1 {
		return r, fmt.Errorf("quantity %.40q is not a whole number above 0", get("Quantity"))
	}
	r.order.CustomerID, r.order.CustomerName = get("Customer ID"), get("Customer Name")
	r.order.PlacedOn, r.order.Address = get("Order Date"), address(get)
	r.item = Line{RowID: get("Row ID"), ProductID: get("Product ID"), Product: get("Product Name"), Quantity: quantity, Amount: amount}
	return r, nil
}

func checkText(name, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s is empty", strings.ToLower(name))
	case strings.HasSuffix(name, "ID") && len(value) > maxKey:
		return fmt.Errorf("%s is longer than %d bytes", strings.ToLower(name), maxKey)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("%s has a control character", strings.ToLower(name))
	}
	return nil
}

func address(get func(string) string) string {
	postcode := get("Postal Code")
	if get("Country") == "United States" && len(postcode) == 4 && isDigits(postcode) {
		postcode = "0" + postcode
	}
	return fmt.Sprintf("%s, %s %s, %s", get("City"), get("State"), postcode, get("Country"))
}

func parse(text string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(text))
	fields, err := r.Read()
	if parseErr, ok := errors.AsType[*csv.ParseError](err); ok {
		return nil, fmt.Errorf("broken quotes: %w", parseErr.Err)
	}
	return fields, err
}
