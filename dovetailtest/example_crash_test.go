package dovetailtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tectari/dovetail/dovetailtest"
)

// bank carries out every payment that reaches it.
type bank struct{ payments int }

func (b *bank) RoundTrip(*http.Request) (*http.Response, error) {
	b.payments++
	return httptest.NewRecorder().Result(), nil
}

// pay is the program under test: it tries until it is told that it worked.
func pay(c *http.Client) error {
	var err error
	for range 3 {
		var res *http.Response
		if res, err = c.Post("http://bank/payments", "", strings.NewReader("19.90")); err == nil {
			return res.Body.Close()
		}
	}
	return err
}

// A first run without a strike says what there is to strike at. Then the program
// runs once for each fault at each point; after a death it is started again, as a
// supervisor would. This one pays twice wherever a reply can be lost.
func ExampleCrasher() {
	run := func(s dovetailtest.Strike) (payments int, labels map[string]int) {
		b := &bank{}
		for range 2 {
			c := dovetailtest.NewCrasher(dovetailtest.CrashConfig{Strike: s, Meanwhile: func() {}})
			if err := pay(&http.Client{Transport: c.Transport(b)}); err == nil {
				return b.payments, c.Labels()
			}
			s = dovetailtest.Strike{} // the next run is left alone
		}
		return b.payments, nil
	}
	_, labels := run(dovetailtest.Strike{})
	for _, s := range dovetailtest.Strikes(labels, 0) {
		if n, _ := run(s); n != 1 {
			fmt.Printf("%s: %d payments\n", s, n)
		}
	}
	// Output:
	// die-after at POST /payments #1: 2 payments
	// lose-reply at POST /payments #1: 2 payments
}
