// What `nibble convert` reads: safetensors, and the JSON files of a directory.
#include "tests/fuzz/all.h"
#include "tests/tools/hf_model.h"
#include "tests/tools/hf_tokenizer.h"
#include "tests/tools/program.h"
#include "tools/nibble/convert/convert.h"
#include "tools/nibble/convert/safetensors.h"

namespace nibble::fuzz {
namespace {

constexpr const char* kFiles[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
constexpr const char* kFamilies[] = {"llama", "gemma3"};

tools_test::HfModel make(const std::string& family) {
  using namespace tools_test;
  HfModel model = make_hf_model(family);
  model.tokenizer_config = {{"eos_token", "<|end|>"}, {"bos_token", nullptr}};
  if (family == "llama") {
    model.tokenizer = byte_level_tokenizer_json(testing::bpe_tokens({{"he"}, {"<|end|>", 3}}),
                                                {"h e"}, kQwenPattern);
  } else {
    model.tokenizer = spm_tokenizer_json(testing::spm_tokens({"a", "b", "ab"}));
    model.tokenizer_config = {
        {"eos_token", "<eos>"}, {"bos_token", "<bos>"}, {"unk_token", "<unk>"}};
  }
  return model;
}

// A good directory of each family; an input takes the place of one of its files.
struct Directory {
  explicit Directory(const char* family) {
    write_hf_model(make(family), folder.path(""));
    for (size_t i = 0; i < 3; ++i) good[i] = tools_test::read_file(folder.path(kFiles[i]));
  }
  const tools_test::Folder folder;
  std::string good[3];
};

Directory& directory(size_t which) {
  static Directory llama(kFamilies[0]), gemma(kFamilies[1]);
  return which == 0 ? llama : gemma;
}

}  // namespace

void run_safetensors(std::string_view input) {
  const InputFile file(input);
  const auto read = cli::read_safetensors(file.path());
  if (!read) return require_readable(read.error());
  for (const cli::SafetensorsTensor& tensor : read->tensors) {
    if (tensor.bytes == 0) continue;
    const volatile uint8_t last = tensor.data[tensor.bytes - 1];
    static_cast<void>(last);
  }
}

std::vector<std::string> safetensors_seeds() {
  tools_test::HfTensors tensors;
  tools_test::add_random("a.weight", {2, 3}, 0, 1, &tensors);
  tools_test::add_random("b", {4}, 0, 1, &tensors);
  tensors["b"].dtype = "BF16";
  return {tools_test::safetensors_bytes(tensors)};
}

// The first byte says which file of which directory the rest is.
void run_checkpoint(std::string_view input) {
  Feed feed(input);
  const size_t choice = feed.byte() % 6;
  Directory& at = directory(choice / 3);
  const std::string path = at.folder.path(kFiles[choice % 3]);
  tools_test::write_text(path, std::string(feed.rest()));
  const auto model = cli::open_hf_model(at.folder.path(""));
  tools_test::write_text(path, at.good[choice % 3]);
  if (!model) require_readable(model.error());
}

std::vector<std::string> checkpoint_seeds() {
  std::vector<std::string> seeds;
  for (size_t choice = 0; choice < 6; ++choice) {
    seeds.push_back(static_cast<char>(choice) + directory(choice / 3).good[choice % 3]);
  }
  return seeds;
}

}  // namespace nibble::fuzz
