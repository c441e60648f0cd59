#!/usr/bin/env bash
# tools/coverage.sh BUILD: after the tests of a coverage build, prints the share of lines
# that ran, by file and by folder of src/. Needs gcov, which comes with gcc.
set -euo pipefail
build=$(realpath "${1:?usage: tools/coverage.sh BUILD}")
root=$PWD
cd "$build/CMakeFiles/ocelli_objects.dir"
find . -name '*.gcda' -exec gcov -n {} + 2>/dev/null |
    awk -v root="$root/src/" '
        /^File / { file = substr($0, 7, length($0) - 7); next }
        /^Lines executed:/ && index(file, root) == 1 {
            split($0, part, /[:% ]+/)               # Lines executed 93.75 of 48
            file = substr(file, length(root) + 1)
            if (part[5] > lines[file]) lines[file] = part[5]
            ran = part[3] * part[5] / 100
            if (ran > hit[file]) hit[file] = ran    # a header counts where it ran most
        }
        END {
            for (file in lines) {
                folder = file
                sub(/\/.*/, "", folder)
                n[folder] += lines[file]; h[folder] += hit[file]
                n["all"] += lines[file]; h["all"] += hit[file]
                printf "%5.1f %% of %5d  %s\n", 100 * hit[file] / lines[file], lines[file], file
            }
            for (folder in n)
                printf "%5.1f %% of %5d  %s\n", 100 * h[folder] / n[folder], n[folder],
                       folder == "all" ? "~ all of src" : "~ " folder
        }' | sort -k5 | sed 's/~ //'
