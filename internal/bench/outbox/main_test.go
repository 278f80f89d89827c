package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoServerSaysWhatToInstall(t *testing.T) {
	t.Setenv("DOVETAIL_POSTGRES_URL", "postgres://nobody@127.0.0.1:1/none")
	t.Setenv("DOVETAIL_MYSQL_DSN", "nobody@tcp(127.0.0.1:1)/none")
	var out, log bytes.Buffer
	err := run(t.Context(), []string{"-quick", "-databases", "postgres,mariadb"}, &out, &log)
	require.ErrorContains(t, err, "DOVETAIL_POSTGRES_URL")
	require.ErrorContains(t, err, "apt-get install mariadb-server")
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-measures", "speed"}, {"-rounds", "0"}, {"-drain", "0"}, {"-drain", "many"}, {"-depths", "1"}, {"more"}, {"-systems", "nobody"}, {"-databases", "oracle"},
	} {
		require.Error(t, run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}), "%v", args)
	}
}
