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
rm -f "$work"/*.mjs
cp "$here"/*.{json,mjs,ts} "$work"
cd "$work"
if ! cmp -s package-lock.json installed-lock.json; then
  if ! timeout 120 "$npm" ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1; then
    echo "skipped: npm cannot install the clients"
    tail -n 3 npm.log
    exit 77
  fi
  cp package-lock.json installed-lock.json
fi
HAPROXY=$(PATH=$PATH:/usr/sbin command -v haproxy || true)
export HAPROXY HAPROXY_CFG="$here/../../tools/packaging/haproxy.cfg" NIBBLE=$nibble MODEL=$model
exec "$node" --test --test-timeout=240000 ./*.test.mjs
