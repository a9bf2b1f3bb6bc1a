#include "tools/nibble/prompt.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tools/nibble/builtin_model.h"
#include "tools/nibble/model_file.h"
#include "tools/nibble/text_file.h"

namespace nibble::cli {
namespace {

constexpr size_t kPromptMebibytesMax = 16;  // longer than any model's context

bool exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// What to answer a first word that looks like a model but is no file.
Error no_model(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += (all.empty() ? "" : " ") + word;
  std::string message = "there is no model file '" + words.front() + "'";
  if (!words.front().ends_with(".gguf")) {
    message += "; if it is the prompt: nibble run -p \"" + all + "\"";
  }
  return {ErrorCode::kNoInput, message};
}

Result<void> choose_model(const PromptSource& source, std::vector<std::string>* words,
                          Question* question) {
  question->model = source.model;
  if (!source.model_is_flag && !words->empty()) {
    const std::string& first = words->front();
    const bool is_file = exists(first) || is_model_name(first);
    const bool is_prompt = first.empty() || first.find_first_of(" \t\n") != std::string::npos;
    if (is_file || first.ends_with(".gguf") || !is_prompt) {
      if (!is_file) return no_model(*words);
      question->model = first;
      words->erase(words->begin());
    }
  }
  if (!question->model.empty()) return {};
  question->builtin = true;
  question->model = find_builtin_model();
  if (question->model.empty()) {
    return Error{ErrorCode::kNoInput,
                 "the built-in model is not beside the program (../share/nibble/models); name a "
                 "model: nibble run MODEL.gguf"};
  }
  return {};
}

}  // namespace

Result<Question> resolve_question(const PromptSource& source) {
  Question question;
  std::vector<std::string> words = source.words;
  NIBBLE_TRY_VOID(choose_model(source, &words, &question));
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  const auto add = [&question](const std::string& part) {
    question.prompt = question.prompt ? *question.prompt + "\n\n" + part : part;
  };
  if (!words.empty()) add(joined);
  if (source.text) add(*source.text);
  if (!source.file.empty()) {
    NIBBLE_TRY(const std::string text, read_text(source.file, kPromptMebibytesMax));
    add(text);
  }
  if (!question.prompt && isatty(STDIN_FILENO) != 1) {
    NIBBLE_TRY(const std::string text, read_text("-", kPromptMebibytesMax));
    if (text.empty()) {
      return Error{ErrorCode::kUsage, "no prompt: standard input is empty; give one with -p"};
    }
    add(text);
  }
  return question;
}

}  // namespace nibble::cli
