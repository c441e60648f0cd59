#!/usr/bin/env bash
# Runs what the README tells people to type: in its ```sh blocks, every line that begins
# with build/ocelli (after "$ ", if that is there) must end with status 0. A trailing
# backslash joins lines. Commands with a word in capitals (YOUR-PICTURE.png) are examples of
# form and are left out, as are those that need a network or do not end by themselves. In order:
# one may use what an earlier one made.
set -euo pipefail
readme=${1:-README.md}
[ -f "$readme" ] || { echo "check_readme: no $readme yet"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

awk '/^```(sh|bash|console)$/ { inside = 1; next }  /^```/ { inside = 0 }
     inside { sub(/^\$ /, ""); if (/\\$/) { sub(/\\$/, ""); held = held $0; next }
              $0 = held $0; held = ""
              if (/^(OCELLI_[A-Z]+=[^ ]+ )?build\/ocelli /) print }' "$readme" |
    awk '!seen[$0]++' | { grep -vE ' [A-Z][A-Z_-]{3,}|ocelli (serve|pull|chat) ' || true
    } >"$work/commands"

failed=0 count=0
while IFS= read -r command; do
    count=$((count + 1))
    if ! timeout 60 bash -c "$command" >"$work/out" 2>&1 </dev/null; then
        echo "check_readme: fails: $command"
        sed 's/^/    /' "$work/out" | tail -n 5
        failed=$((failed + 1))
    fi
done <"$work/commands"
echo "readme: $count commands run, $failed failed"
[ $failed -eq 0 ]
