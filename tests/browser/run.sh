#!/usr/bin/env bash
# The chat page in headless Chromium, run by tools/dev clients:
# run.sh NODE NPM CHROMIUM NIBBLE WORK MODEL. Pictures of the page go to WORK/pictures.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
node=$1 npm=$2 chromium=$3 nibble=$4 work=$5 model=$6

mkdir -p "$work/pictures"
cp "$here"/{package.json,package-lock.json,page.test.mjs} "$here"/../clients/{hub,server}.mjs "$work"
cd "$work"
if ! cmp -s package-lock.json installed-lock.json; then
  timeout 120 "$npm" ci --no-audit --no-fund --ignore-scripts
  cp package-lock.json installed-lock.json
fi
NIBBLE=$nibble MODEL=$model CHROMIUM=$chromium exec "$node" --test --test-timeout=120000 page.test.mjs
