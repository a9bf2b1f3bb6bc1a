# shellcheck shell=bash disable=SC2034,SC2154
# The table of every weight format, tools/docs/formats.md. Sourced by tools/dev.

# NIBBLE_BENCH, when set, is called in place of kernels_bench, with its arguments: another way to
# start it (pinned, at real-time priority). The perplexities need the story model in F16 and its
# text, which lie beside the project; without them that column is empty.
formats() {
  local out=build-release/formats shared=../shared format
  local model=$shared/models/stories-gemma3-f16.gguf text=$shared/text/stories-valid.txt
  mkdir -p "$out"
  rm -f "$out"/*.json "$out"/speeds.jsonl
  if [ -f "$model" ] && [ -f "$text" ]; then
    for format in $(build-release/bench/formats_bench --list); do
      say "perplexity of $format"
      build-release/nibble quantize "$model" "$out/model.gguf" "$format" --head "$format" \
        --tensor-type "weight=$format" >/dev/null
      build-release/nibble perplexity "$out/model.gguf" --text "$text" --ctx 256 --json \
        >"$out/$format.json"
    done
    rm -f "$out/model.gguf"
  fi
  local round formats
  formats=$(build-release/bench/kernels_bench --benchmark_list_tests |
    sed -n 's,^gemm/\([a-z0-9_]*\)/.*,\1,p' | sort -u)
  for round in 1 2; do
    for format in $formats; do
      say "speed of $format, round $round"
      ${NIBBLE_BENCH:-build-release/bench/kernels_bench} --jsonl="$out/one.jsonl" \
        --shape=1,1152,6912 --shape=128,1152,6912 --benchmark_min_time=0.2 \
        --benchmark_filter="^gem(v/$format/.*/cold|m/$format/)" >/dev/null
      cat "$out/one.jsonl" >>"$out/speeds.jsonl"
    done
  done
  build-release/bench/formats_bench "$out" >"$out/formats.md"
  mv "$out/formats.md" tools/docs/formats.md
  say "written: tools/docs/formats.md"
}
