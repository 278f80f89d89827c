# Everything a change must pass. Tools are built once into bin/, from the versions
# pinned in internal/tools/go.mod.
.PHONY: check ci fmt vet lint test race bench tools

check: fmt vet lint test

# What the server runs, the same everywhere.
ci:
	./.ci/run

fmt:
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')

vet:
	go vet work

lint: bin/golangci-lint
	./.ci/lint

test:
	go test -shuffle=on work

race:
	go test -race -shuffle=on work

bench:
	cd internal/bench && go test -run '^$$' -bench . -count 6 ./...

tools: bin/golangci-lint bin/benchstat

bin/golangci-lint bin/benchstat: internal/tools/go.mod internal/tools/go.sum
	./.ci/tools
