#!/usr/bin/env bash
# Usage: sum-tests.sh LOG
# Adds up the summaries that `cargo test` prints for each executable, names the tests that failed, and
# fails if any did or if none was run.
set -euo pipefail

awk '
    /^test result: / {
        for (i = 2; i <= NF; i++) {
            if ($i == "passed;") passed += $(i - 1)
            if ($i == "failed;") failed += $(i - 1)
            if ($i == "ignored;") ignored += $(i - 1)
        }
    }
    /^test .* \.\.\. FAILED$/ { print "failed: " $2 }
    END {
        line = passed + 0 " passed, " failed + 0 " failed"
        if (ignored) line = line ", " ignored " skipped"
        print line
        exit (failed || !passed)
    }
' "$1"
