// Files that are read as models: GGUF, through loading to a token; importance matrices; saved
// predictions. Read next: gguf_mutator.cpp.
#include "nibble/nibble.h"
#include "runtime/file/gguf.h"
#include "runtime/judge/reference_file.h"
#include "runtime/quantize/importance.h"
#include "tests/file/gguf_bytes.h"
#include "tests/fuzz/all.h"
#include "tests/model/random_model.h"
#include "tests/tools/program.h"

namespace nibble::fuzz {
namespace {

// One for all inputs, of one thread: threads cost more than these models do.
const std::shared_ptr<Engine>& engine() {
  static const std::shared_ptr<Engine> made = [] {
    auto created = Engine::create({.threads = 1, .isa = ""});
    require(created.ok(), "there is an engine");
    return *std::move(created);
  }();
  return made;
}

// Tries a way into the file and the model made of it.
void use(const std::shared_ptr<Model>& model) {
  auto session = Session::create(model, {.context = 8, .batch = 4});
  if (!session) return require_readable(session.error());
  GenerateOptions options;
  options.sampling = {.temperature = 0};
  options.max_tokens = 1;
  const auto done = (*session)->complete("t4t5", options);
  if (!done) require_readable(done.error());
  const auto said = (*session)->chat("t6", options);
  if (!said) require_readable(said.error());
}

}  // namespace

void run_gguf(std::string_view input) {
  const InputFile file(input);
  const auto opened = GgufFile::open(file.path());
  if (!opened) return require_readable(opened.error());
  for (const GgufTensor& tensor : opened->tensors()) {
    if (tensor.bytes > 0) {  // the last byte is the file's
      const volatile uint8_t last = tensor.data[tensor.bytes - 1];
      static_cast<void>(last);
    }
    if (const auto format = supported_format(tensor); !format) require_readable(format.error());
  }
  LoadOptions load;
  load.memory_limit = uint64_t{256} << 20;
  load.session = {.context = 8, .batch = 4};
  const auto model = Model::load(engine(), file.path(), load);
  if (!model) return require_readable(model.error());
  use(*model);
}

std::vector<std::string> gguf_seeds() {
  std::vector<std::string> seeds;
  for (const char* architecture : {"gemma3", "llama", "qwen3", "qwen2", "phi3", "gemma2"}) {
    const std::string name = architecture;
    const RandomModel shape{.name = architecture,
                            .architecture = architecture,
                            .layers = 1,
                            .embedding = 32,
                            .feed_forward = 32,
                            .heads = 2,
                            .kv_heads = 1,
                            .head_dim = 16};
    EditedModel model = random_model(shape);
    if (name == "gemma3") {
      model.set("gemma3.attention.sliding_window", uint_value(4));
      model.set("tokenizer.chat_template",
                string_value("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"));
    }
    const tools_test::Folder folder;
    write_model(model, folder.path("seed"));
    seeds.push_back(tools_test::read_file(folder.path("seed")));
  }
  return seeds;
}

void run_importance(std::string_view input) {
  const InputFile file(input);
  const auto matrix = ImportanceMatrix::open(file.path());
  if (!matrix) return require_readable(matrix.error());
  static_cast<void>(matrix->find("blk.0.ffn_up.weight"));
}

std::vector<std::string> importance_seeds() {
  using gguf_test::number;
  const std::string name = "blk.0.ffn_up.weight";
  std::string old = number<int32_t>(1) + number(static_cast<int32_t>(name.size())) + name;
  old += number<int32_t>(2) + number<int32_t>(4);
  for (const float sum : {1.0f, 2.0f, 0.5f, 0.0f}) old += number(sum);
  old += number<int32_t>(7) + number<int32_t>(4) + "text";
  const std::string gguf = gguf_test::file(
      {gguf_test::entry("general.type", 8, gguf_test::text("imatrix")),
       gguf_test::entry("imatrix.datasets", 9, gguf_test::array(8, 1, gguf_test::text("a.txt"))),
       gguf_test::entry_u32("imatrix.chunk_count", 3),
       gguf_test::entry_u32("imatrix.chunk_size", 512)},
      {gguf_test::tensor(name + ".in_sum2", {4, 1}, 0, 0),
       gguf_test::tensor(name + ".counts", {1, 1}, 0, 32)},
      64);
  return {old, gguf};
}

void run_reference(std::string_view input) {
  const InputFile file(input);
  const auto reader = ReferenceReader::open(file.path());
  if (!reader) return require_readable(reader.error());
  const ReferenceHeader& header = reader->header();
  std::vector<float> logits(header.vocabulary);
  const auto row = reader->read(0, logits);
  if (!row) require_readable(row.error());
}

std::vector<std::string> reference_seeds() {
  const tools_test::Folder folder;
  ReferenceHeader header;
  header.model = "m";
  header.vocabulary = 8;
  header.vocabulary_hash = 1;
  header.chunks.ctx = 8;
  header.chunks.ids = {1, 2, 3, 4, 5, 6, 7, 1};
  auto writer = ReferenceWriter::create(folder.path("seed"), header);
  require(writer.ok(), "the seed can be written");
  const std::vector<float> logits = {0, 1, 2, 3, -1, -2, -3, 0.5f};
  for (size_t row = 0; row < header.chunks.predictions(); ++row) {
    require(writer->write(row, logits, judge_row(logits, 2)).ok(), "the seed can be written");
  }
  require(writer->commit().ok(), "the seed can be written");
  return {tools_test::read_file(folder.path("seed"))};
}

}  // namespace nibble::fuzz
