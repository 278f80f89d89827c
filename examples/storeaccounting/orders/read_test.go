package orders_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tectari/dovetail/examples/storeaccounting/orders"
)

const header = `"Row ID","Order ID","Order Date","Customer ID","Customer Name","Country","City","State","Postal Code","Product ID","Product Name","Sales","Quantity","Profit"` + "\n"

func line(row int, order, date, customer, sales string) string {
	return fmt.Sprintf(`%d,%q,%s,%q,"Ann Lee","United States","Boston","Massachusetts",2101,"P-1","Pen",%s,1,-3.5`+"\n", row, order, date, customer, sales)
}

func TestSample(t *testing.T) {
	t.Parallel()
	all, bad, err := orders.Sample()
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Len(t, all, 5009)

	customers, emails := map[string]bool{}, map[string]bool{}
	var lines, repeats int
	var cents int64
	for _, o := range all {
		customers[o.CustomerID] = true
		emails[o.Customer().Email] = true
		lines += len(o.Lines)
		cents += o.Cents()
		for _, l := range o.Lines {
			if l.RepeatOf != "" {
				repeats++
				require.Equal(t, "3406", l.RepeatOf)
			}
		}
	}
	require.Len(t, customers, 793)
	require.Len(t, emails, 793)
	require.Equal(t, 9994, lines)
	require.Equal(t, 1, repeats, "one pair of lines says the same under two row IDs")
	require.Equal(t, "2297201.13", orders.FormatCents(cents), "each order rounded half-up, then summed")
}

func TestReadReportsBadRows(t *testing.T) {
	t.Parallel()
	good := line(1, "A-1", "2016-01-02", "C-1", "10.005") + line(2, "A-1", "2016-01-02", "C-1", "0.01")
	for name, tc := range map[string]struct {
		dirt   string
		orders int
		reason string // of the first bad row
		bad    int
	}{
		"nothing wrong":          {dirt: "", orders: 1},
		"missing column":         {dirt: "3,\"B-1\",2016-01-02\n", orders: 1, bad: 1, reason: "3 columns, the header has 14"},
		"bad date":               {dirt: line(3, "B-1", "2016-02-30", "C-1", "1"), orders: 1, bad: 1, reason: "is not a date"},
		"negative amount":        {dirt: line(3, "B-1", "2016-02-03", "C-1", "-1"), orders: 1, bad: 1, reason: "is negative"},
		"not a number":           {dirt: line(3, "B-1", "2016-02-03", "C-1", "NaN"), orders: 1, bad: 1, reason: "not a decimal"},
		"exponent":               {dirt: line(3, "B-1", "2016-02-03", "C-1", "1e3"), orders: 1, bad: 1, reason: "not a decimal"},
		"no amount":              {dirt: line(3, "B-1", "2016-02-03", "C-1", ""), orders: 1, bad: 1, reason: "not a decimal"},
		"huge amount":            {dirt: line(3, "B-1", "2016-02-03", "C-1", "99999999999999999999"), orders: 1, bad: 1, reason: "nine digits"},
		"invalid UTF-8":          {dirt: strings.Replace(line(3, "B-1", "2016-02-03", "C-1", "1"), "Ann", "Ann\xff", 1), orders: 1, bad: 1, reason: "not UTF-8"},
		"control character":      {dirt: strings.Replace(line(3, "B-1", "2016-02-03", "C-1", "1"), "Ann", "Ann\x00", 1), orders: 1, bad: 1, reason: "control character"},
		"empty order ID":         {dirt: line(3, "", "2016-02-03", "C-1", "1"), orders: 1, bad: 1, reason: "order id is empty"},
		"empty customer ID":      {dirt: line(3, "B-1", "2016-02-03", "", "1"), orders: 1, bad: 1, reason: "customer id is empty"},
		"repeated line":          {dirt: line(2, "A-1", "2016-01-02", "C-1", "0.01"), orders: 1, bad: 1, reason: "repeats line 3 word for word"},
		"row ID used twice":      {dirt: line(2, "B-1", "2016-01-02", "C-1", "7"), orders: 1, bad: 1, reason: "row ID 2 was line 3"},
		"order held back":        {dirt: line(3, "A-1", "2016-01-02", "C-1", "-7"), orders: 0, bad: 3, reason: "order held back: line 4"},
		"two customers":          {dirt: line(3, "A-1", "2016-01-02", "C-2", "7"), orders: 0, bad: 3, reason: "order held back: line 4"},
		"quote never closed":     {dirt: "3,\"B-1,2016\n" + line(4, "B-2", "2016-02-03", "C-1", "1"), orders: 2, bad: 1, reason: "never closed"},
		"line break in a field":  {dirt: strings.Replace(line(3, "B-1", "2016-02-03", "C-1", "1"), "Pen", "Pen,\nblue", 1), orders: 2},
		"line far too long":      {dirt: strings.Repeat("x", 300<<10) + "\n", orders: 1, bad: 1, reason: "too long"},
		"empty and Windows ends": {dirt: "\r\n" + strings.Replace(line(3, "B-1", "2016-02-03", "C-1", "1"), "\n", "\r\n", 1), orders: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, bad, err := orders.Read(strings.NewReader(header + good + tc.dirt))
			require.NoError(t, err)
			require.Len(t, all, tc.orders)
			require.Len(t, bad, tc.bad)
			if tc.bad > 0 {
				require.Contains(t, bad[0].Reason, tc.reason)
				require.Positive(t, bad[0].Line)
			}
		})
	}
}

func TestReadRounding(t *testing.T) {
	t.Parallel()
	all, _, err := orders.Read(strings.NewReader("\ufeff" + header + line(1, "A-1", "2016-01-02", "C-1", "10.004") + line(2, "A-1", "2016-01-02", "C-1", "0.001")))
	require.NoError(t, err)
	require.Equal(t, "10.01", orders.FormatCents(all[0].Cents()), "the sum is rounded, not each line")
	require.Equal(t, "Boston, Massachusetts 02101, United States", all[0].Address)
}

func TestReadRefusesAFileWithoutColumns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                    "empty",
		"a,b\n1,2\n":          `lacks "Row ID", "Order ID"`,
		"\xff\xfeR\x00o\x00":  "not UTF-8",
		"\"Row ID,Order ID\n": "broken quotes",
		"Row ID,Row ID\n":     "twice",
	} {
		_, _, err := orders.Read(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(header + line(1, "A-1", "2016-01-02", "C-1", "1.5"))
	f.Fuzz(func(_ *testing.T, text string) {
		_, _, _ = orders.Read(strings.NewReader(text)) // must not panic
	})
}

func ExampleRead() {
	csv := header +
		line(1, "A-1", "2016-01-02", "C-1", "957.5775") +
		line(2, "A-2", "2016-01-03", "C-1", "minus five")
	all, bad, err := orders.Read(strings.NewReader(csv))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range all {
		fmt.Println(o.ID, orders.FormatCents(o.Cents()))
	}
	for _, b := range bad {
		fmt.Printf("line %d: %s\n", b.Line, b.Reason)
	}
	// Output:
	// A-1 957.58
	// line 3: sales "minus five": not a decimal number
}
