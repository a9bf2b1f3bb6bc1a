// nibble tokenize MODEL: the token ids of the text on standard input.
// Read next: runtime/text/tokenizer.h.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "runtime/file/concat.h"
#include "runtime/file/gguf.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"
#include "tools/nibble/command.h"
#include "tools/nibble/model_file.h"
#include "tools/nibble/output.h"
#include "tools/nibble/sandbox.h"

namespace nibble::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  echo -n 'Hello world' | nibble tokenize model.gguf            2 9259 1902
  nibble tokenize model.gguf --json < text.txt                  [2,9259,1902]
  nibble tokenize model.gguf --pieces < text.txt                each id and its text
  nibble tokenize model.gguf --no-bos --no-special < text.txt   <end_of_turn> is plain text

Needs no weights: a file with nothing but a vocabulary will do. All bytes are read as they are, the
last line break too.)";

struct TokenizeOptions {
  std::string path;
  bool no_bos = false;
  bool special = true;
  bool as_json = false;
  bool pieces = false;
};

Result<std::string> read_standard_input() {
  if (isatty(STDIN_FILENO)) std::fputs("nibble: type the text, then Ctrl-D\n", stderr);
  std::string text;
  char part[1 << 16];
  while (const size_t bytes = std::fread(part, 1, sizeof(part), stdin)) text.append(part, bytes);
  if (std::ferror(stdin)) {
    return Error{ErrorCode::kIo, concat("standard input: ", std::strerror(errno))};
  }
  return text;
}

// To a parser of special tokens 0xFF is a mark; doubled it is itself.
std::string double_marks(std::string_view text) {
  std::string out;
  for (const char c : text) out.append(c == '\xFF' ? 2 : 1, c);
  return out;
}

// Text as a person can read it on one line: what does not print and what is not UTF-8 is escaped.
std::string visible(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    uint32_t code_point = 0;
    const int length = utf8_decode(bytes, &code_point);
    if (length == 0 || code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0)) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\x%02X", static_cast<uint8_t>(bytes[0]));
      out += bytes[0] == '\n' ? "\\n" : bytes[0] == '\t' ? "\\t" : escape;
      bytes.remove_prefix(1);
      continue;
    }
    if (code_point == '"' || code_point == '\\') out += '\\';
    out += bytes.substr(0, static_cast<size_t>(length));
    bytes.remove_prefix(static_cast<size_t>(length));
  }
  return out;
}

std::string format_ids(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                       const TokenizeOptions& options) {
  std::string out = options.as_json ? "[" : "";
  for (size_t i = 0; i < ids.size(); ++i) {
    if (options.pieces) {
      char number[16];
      std::snprintf(number, sizeof(number), "%8d", ids[i]);
      out += concat(number, "  \"", visible(tokenizer.piece(ids[i], true)), "\"\n");
    } else {
      out += concat(i == 0 ? "" : options.as_json ? "," : " ", ids[i]);
    }
  }
  if (options.as_json) out += "]";
  return options.pieces ? out : out + "\n";
}

Result<void> tokenize(const TokenizeOptions& options) {
  NIBBLE_TRY(const std::string path, model_file(options.path));
  enter_sandbox(Sandbox::kReadOnly);
  NIBBLE_TRY(const GgufFile file, GgufFile::open(path));
  enter_sandbox(Sandbox::kClosed);
  NIBBLE_TRY(const auto tokenizer, Tokenizer::load(file));
  for (const std::string& note : tokenizer->notes()) print_note(note);
  NIBBLE_TRY(std::string text, read_standard_input());
  if (options.special) text = double_marks(text);
  const std::vector<int32_t> ids =
      tokenizer->encode(text, {.add_bos = !options.no_bos, .parse_special = options.special});
  const std::string out = format_ids(*tokenizer, ids, options);
  std::fwrite(out.data(), 1, out.size(), stdout);  // main() tells if it does not get out
  return {};
}

}  // namespace

void add_tokenize(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command =
      app.add_subcommand("tokenize", "Print the token ids of the text on standard input");
  command->add_option("model", options->path, "GGUF file")->required()->type_name("MODEL");
  command->add_flag("--no-bos", options->no_bos, "Do not begin with the BOS token");
  command->add_flag("--special,!--no-special", options->special,
                    "Control tokens written in the text become those tokens (default)");
  auto* as_json = command->add_flag("--json", options->as_json, "Print a JSON array");
  command->add_flag("--pieces", options->pieces, "Print a line for each token, with its text")
      ->excludes(as_json);
  command->footer(kExamples);
  command->callback([options, exit_code] {
    const auto done = tokenize(*options);
    *exit_code = done ? 0 : fail(done.error());
  });
}

}  // namespace nibble::cli
