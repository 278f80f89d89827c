#!/bin/sh
# Measures our merge of a record of 12 fields that shows nothing new beside its
# rivals: in turns, ROUNDS times, medians, in one run. Ours cannot be reached from
# another module, so two test binaries take turns.
set -eu
cd "$(dirname "$0")"
rounds=${ROUNDS:-5} time=${TIME:-200ms}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
(cd ../.. && go test -c -o "$dir/ours" ./sync)
go test -c -o "$dir/rivals" ./merge
for _ in $(seq "$rounds"); do
	(cd ../../sync && "$dir/ours" -test.run '^$' -test.bench 'MergeUnchanged12$' -test.benchtime "$time")
	(cd merge && "$dir/rivals" -test.run '^$' -test.bench . -test.benchtime "$time")
done | grep '^Benchmark' >"$dir/out"
awk '
	function median(list,    n, i, j, x, v) {
		n = split(list, v, " ")
		for (i = 2; i <= n; i++) for (j = i; j > 1 && v[j-1] + 0 > v[j] + 0; j--) { x = v[j]; v[j] = v[j-1]; v[j-1] = x }
		return v[int((n + 1) / 2)]
	}
	{
		sub(/^Benchmark/, "", $1); sub(/-[0-9]+$/, "", $1)
		if (!($1 in ns)) order[++kinds] = $1
		ns[$1] = ns[$1] " " $3; allocs[$1] = $7
	}
	END {
		ours = median(ns["MergeUnchanged12"])
		printf "%-28s %12s %10s %8s\n", "merge, 12 fields, no news", "ns (median)", "allocs", "ratio"
		for (i = 1; i <= kinds; i++) { m = median(ns[order[i]]); printf "%-28s %12.1f %10d %8.1f\n", order[i], m, allocs[order[i]], m / ours }
	}' "$dir/out"
