#!/bin/sh
# An evaluation from end to end: make a key, build Pong, evaluate, sign, verify.
set -eu
here=$(dirname "$0")
out=${ATARIARI_DEMO_OUT:-results/demo}
mkdir -p "$out"
key=$out/demo_key
result=$out/my_encoder-$(date -u +%Y%m%dT%H%M%SZ).json

[ -f "$key" ] || harness keygen "$key" --comment demo
atariari-data build pong
harness evaluate "$here/my_encoder.py" --games pong --pretraining-data none --key "$key" --out "$result"
echo
harness verify "$result"
