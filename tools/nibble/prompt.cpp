#include "tools/nibble/prompt.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/nibble/builtin_model.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

constexpr size_t kPromptBytesMax = size_t{16} << 20;

bool exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// Reads all of `fd`; `what` is its name in messages. A pipe may make us wait, so signals end it.
Result<std::string> read_all(int fd, const std::string& what) {
  std::string text;
  std::vector<char> chunk(1 << 16);
  while (true) {
    if (!wait_for_input(fd)) {
      if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted"};
      continue;
    }
    const ssize_t got = read(fd, chunk.data(), chunk.size());
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return Error{ErrorCode::kNoInput, "cannot read " + what + ": " + std::strerror(errno)};
    }
    text.append(chunk.data(), static_cast<size_t>(got));
    if (text.size() > kPromptBytesMax) {
      return Error{ErrorCode::kUsage,
                   what + " has more than 16 MiB, which is longer than any model's context"};
    }
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

Result<std::string> read_file(const std::string& path) {
  if (path == "-") return read_all(STDIN_FILENO, "standard input");
  // Waits for a writer if it is a FIFO: <(command) is meant to work.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (signal_exit_code() != 0) return Error{ErrorCode::kInterrupted, "interrupted"};
    const ErrorCode code = errno == EACCES ? ErrorCode::kPermission : ErrorCode::kNoInput;
    return Error{code, "cannot open the prompt file " + path + ": " + std::strerror(errno)};
  }
  Result<std::string> text = read_all(fd, path);
  close(fd);
  return text;
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
    const bool is_file = exists(first);
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
    NIBBLE_TRY(const std::string text, read_file(source.file));
    add(text);
  }
  if (!question.prompt && isatty(STDIN_FILENO) != 1) {
    NIBBLE_TRY(const std::string text, read_file("-"));
    if (text.empty()) {
      return Error{ErrorCode::kUsage, "no prompt: standard input is empty; give one with -p"};
    }
    add(text);
  }
  return question;
}

}  // namespace nibble::cli
