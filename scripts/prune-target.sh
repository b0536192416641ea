#!/usr/bin/env bash
# Usage: prune-target.sh TARGET_DIR [MAX_GIB]
# Removes this project's own artifacts from a target directory that several clones share, and the
# whole directory once it holds more than MAX_GIB.
set -euo pipefail

target=${1:?which target directory}
max_gib=${2:-20}
[ -d "$target" ] || exit 0

if [ "$(du -s --block-size=1G "$target" | cut -f1)" -gt "$max_gib" ]; then
    echo "prune-target: $target is larger than $max_gib GiB; starting over" >&2
    rm -rf "$target"
    exit 0
fi

# Executables of tests, benches and examples are named after their files.
own=(mosaic mos e2e compatibility)
while read -r file; do own+=("$(basename "$file" .rs)"); done < <(
    find "$(dirname "$0")/../crates" -path '*/tests/*.rs' -o -path '*/benches/*.rs' -o -path '*/examples/*.rs'
)
for profile in "$target"/*/; do
    for folder in deps .fingerprint build incremental examples; do
        [ -d "$profile$folder" ] || continue
        for name in "${own[@]}"; do
            find "$profile$folder" -mindepth 1 -maxdepth 1 \
                \( -name "$name[-_.]*" -o -name "lib$name[-_.]*" -o -name "$name" \) \
                -exec rm -rf {} +
        done
    done
done
