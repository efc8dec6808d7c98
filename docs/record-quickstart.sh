#!/usr/bin/env bash
# Runs examples/quickstart.sh, and writes what it prints as docs/quickstart.svg: the picture in the README.
#
# Usage: docs/record-quickstart.sh
#   etcd on PATH, ETCD_REJOIN and the rest: as for the quickstart
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$root/examples/quickstart.sh" >"$said"

# From the first numbered title on: what stands before it tells of this machine. A line that is too long goes on
# below, as in a terminal.
sed -n '/^1\. /,$p' "$said" | sed -E 's/ \([0-9a-f]{12}\)//' | fold -s -w 124 |
    awk -v width=124 '
        { lines[++n] = $0 }
        END {
            height = n * 17 + 32
            printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\">\n", width * 7.23 + 32, height
            print "<title>A member loses its disk, and comes back by the same command</title>"
            print "<style>"
            print "text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #c9d1d9; white-space: pre }"
            print ".title { fill: #ffffff; font-weight: bold } .shown { fill: #8b949e } .warn { fill: #e3b341 } .good { fill: #56d364 }"
            print "</style>"
            print "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>"
            for (i = 1; i <= n; i++) {
                line = lines[i]
                # What goes on from the line above keeps its colour.
                if (line ~ /^[1-9]\. /) class = "title"
                else if (line ~ /^    WARN /) class = "warn"
                else if (line ~ /^    /) class = "shown"
                else if (line ~ /is a voter again/) class = "good"
                else if (line ~ /^(  |$)/) class = ""
                gsub(/&/, "\\&amp;", line); gsub(/</, "\\&lt;", line); gsub(/>/, "\\&gt;", line)
                if (line != "") printf "<text x=\"16\" y=\"%d\"%s xml:space=\"preserve\">%s</text>\n", i * 17 + 16, class == "" ? "" : " class=\"" class "\"", line
            }
            print "</svg>"
        }' >"$root/docs/quickstart.svg"
printf '%s\n' "docs/quickstart.svg: $(grep -c '<text' "$root/docs/quickstart.svg") lines"
