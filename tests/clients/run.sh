#!/usr/bin/env bash
# Installs the clients, once, into WORK, and has them talk to the server. Run by ctest:
# run.sh NODE NPM NIBBLE WORK MODEL. Exit code 77: it cannot be done here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
node=$1 npm=$2 nibble=$3 work=$4 model=$5

major=$("$node" --print 'process.versions.node.split(".")[0]')
if [ "$major" -lt 20 ]; then
  echo "skipped: the clients need Node.js 20, this is $major"
  exit 77
fi
mkdir -p "$work"
cp "$here"/{package.json,package-lock.json,talk.mjs} "$work"
cd "$work"
if ! cmp -s package-lock.json installed-lock.json; then
  if ! timeout 120 "$npm" ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1; then
    echo "skipped: npm cannot install the clients"
    tail -n 3 npm.log
    exit 77
  fi
  cp package-lock.json installed-lock.json
fi
exec "$node" talk.mjs "$nibble" "$model"
