# shellcheck shell=bash disable=SC2034,SC2154
# Programs that others wrote, against the server: npm's clients, HAProxy, a browser. Sourced by
# tools/dev.

client_packages=(nodejs npm curl haproxy chromium)

# Debian 12's Node.js is 18; a newer one on the PATH is used, and wanted.
run_clients() {
  local node npm model=$root/tools/models/stories-gemma3-qat-q4_0.gguf
  node=$(command -v node) && npm=$(command -v npm) || die "no Node.js here; install version 20 or newer"
  say "clients: openai, ollama, LangChain, autocannon, curl, haproxy"
  tests/clients/run.sh "$node" "$npm" "$root/build-release/nibble" "$root/build-release/clients" \
    "$model" || die "the clients are not content (77: Node.js is older than 20, or npm cannot install)"
  say "clients: the page in Chromium"
  tests/browser/run.sh "$node" "$npm" "$(command -v chromium)" "$root/build-release/nibble" \
    "$root/build-release/browser" "$model"
  say "pictures of the page: build-release/browser/pictures"
}
