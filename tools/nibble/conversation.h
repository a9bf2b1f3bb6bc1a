// A loaded model with its session and the user's choices: what cmd_run.cpp and chat.cpp ask.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "nibble/nibble.h"
#include "tools/nibble/loading.h"
#include "tools/nibble/output.h"
#include "tools/nibble/report.h"
#include "tools/nibble/sampling.h"

namespace nibble::cli {

inline constexpr WholeRange kMaxTokensRange = {1, 1'000'000'000};

class Conversation {
 public:
  Conversation(LoadedModel loaded, std::unique_ptr<Session> session, bool raw,
               SamplingChoice sampling, GenerateOptions options);

  // Answers `prompt` (in the chat form unless raw) and writes the text to `writer` as it comes, if
  // there is one. A signal or a writer that fails ends the answer early.
  Result<Completion> ask(const std::string& prompt, AnswerWriter* writer);

  const Model& model() const { return *loaded_.model; }
  bool raw() const { return raw_; }
  Session& session() { return *session_; }
  SamplingChoice& sampling() { return sampling_; }
  GenerateOptions& options() { return options_; }
  RunFacts facts() const;    // of the last ask()
  void measure_bandwidth();  // once, for facts()

 private:
  LoadedModel loaded_;
  std::unique_ptr<Session> session_;
  bool raw_;
  SamplingChoice sampling_;
  GenerateOptions options_;
  std::optional<double> bandwidth_gb_per_s_;
};

}  // namespace nibble::cli
