#!/usr/bin/env bash
# Renders the speech of the simulated world: agent.txt sentence by sentence, and caller.txt as one recording in which
# each line starts at the second written before it. Needs flite 2.2 and sox 14.4; README.md tells about both.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# voice, stretch, text, file: telephone band, -20 dBFS RMS with peaks limited below -3 dBFS, and 5 ms of fade at both
# ends, so that a sentence starts and stops without a click. The limiter works on the wanted level, hence two passes.
say() {
    local voice=$1 stretch=$2 text=$3 out=$4 rms
    flite -voice "$voice" --setf duration_stretch="$stretch" -t "$text" -o "$work/raw.wav"
    sox -D "$work/raw.wav" -b 16 "$work/band.wav" rate -v 8000 highpass 120 \
        silence 1 0.01 -50d reverse silence 1 0.01 -50d reverse \
        compand 0.001,0.05 6:-70,-60,-30,-20,-14,-10,-9,0,-8 -6
    rms=$(sox "$work/band.wav" -n stats 2>&1 | awk '/^RMS lev dB/ { print $4 }')
    sox -D "$work/band.wav" -b 16 "$out" gain "$(awk "BEGIN { print -20 - ($rms) }")" fade t 0.005 -0 0.005
}

while IFS=$'\t' read -r id text; do
    say slt 0.84 "$text" "$work/$id.wav"
    sox -D "$work/$id.wav" -e mu-law "$id.wav"
done < agent.txt

placed=()
while IFS=$'\t' read -r second text; do
    line="$work/line${#placed[@]}.wav"
    say rms 0.86 "$text" "$work/line.wav"
    sox -D "$work/line.wav" "$line" pad "$second"
    placed+=(-v 1 "$line")
done < caller.txt
sox -D -m "${placed[@]}" -e mu-law caller.wav
