// Which model and which prompt `nibble run` was asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/result.h"

namespace nibble::cli {

struct PromptSource {
  std::string model;                // --model, by flag or configured
  bool model_is_flag = false;       // the first word cannot be another one then
  std::vector<std::string> words;   // positional
  std::optional<std::string> text;  // --prompt
  std::string file;                 // --file; "-": standard input
};

struct Question {
  std::string model;  // a path
  bool builtin = false;
  std::optional<std::string> prompt;  // none: a person is at the terminal
};

// Without a --model flag the first word is the model, unless it has a space in it and is no file's
// name: so a prompt alone is quoted or given with --prompt, and a mistyped file name is never taken
// for a prompt. The parts of a prompt (words, --prompt, --file) are joined by empty lines; without
// any, standard input is read unless it is a terminal. One newline at the end of a file or of
// standard input is dropped, as the shell's $(...) does. Errors: 66 for what is not there, 64 for
// an empty prompt or one of more than 16 MiB, 130.
Result<Question> resolve_question(const PromptSource& source);

}  // namespace nibble::cli
