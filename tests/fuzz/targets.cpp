// The table of targets. Read next: model_target.cpp, or the file of the target that interests you.
#include "tests/fuzz/targets.h"

#include "tests/fuzz/all.h"

namespace nibble::fuzz {
namespace {

constexpr Target kTargets[] = {
    {"gguf", run_gguf, gguf_seeds, 1200, 64 << 10, mutate_gguf},
    {"importance", run_importance, importance_seeds, 4000},
    {"reference", run_reference, reference_seeds, 4000},
    {"spm", run_spm, text_seeds, 3000},
    {"bpe", run_bpe, text_seeds, 3000},
    {"vocabulary", run_vocabulary, vocabulary_seeds, 3000},
    {"utf8", run_utf8, text_seeds, 10000},
    {"jinja", run_jinja, jinja_seeds, 1500, 8 << 10},
    {"gbnf", run_gbnf, gbnf_seeds, 1500},
    {"schema", run_schema, schema_seeds, 1000},
    {"safetensors", run_safetensors, safetensors_seeds, 4000},
    {"checkpoint", run_checkpoint, checkpoint_seeds, 100, 16 << 10},
    {"http", run_http, http_seeds, 8000},
    {"arguments", run_arguments, arguments_seeds, 60, 512},
    {"toml", run_toml, toml_seeds, 5000},
};

}  // namespace

std::span<const Target> all_targets() {
  return kTargets;
}

const Target* find_target(std::string_view name) {
  for (const Target& target : kTargets) {
    if (name == target.name) return &target;
  }
  return nullptr;
}

}  // namespace nibble::fuzz
