// One answer in the making: tokens sampled from logits, the text they give, and why it ended.
// Shared by a session of its own (generate.cpp) and by those evaluated together (batch.cpp), so
// that the two cannot differ.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/grammar/constraint.h"
#include "runtime/sampler.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"

namespace nibble {

// Streams text, holding back what may become a stop string.
class TextSink {
 public:
  TextSink(std::vector<std::string> stops, TextCallback on_text)
      : stops_(std::move(stops)), on_text_(std::move(on_text)) {}

  // False when generation has to end: a stop string was met, or the callback said so.
  bool push(std::string_view bytes) { return take(utf8_.push(bytes)); }
  void finish();

  bool met_stop() const { return stopped_; }
  std::string& text() { return text_; }

 private:
  bool take(std::string_view fresh);
  bool emit(size_t count);

  std::vector<std::string> stops_;
  TextCallback on_text_;
  Utf8Stream utf8_;
  std::string held_;
  std::string text_;
  bool stopped_ = false;
};

class Answer {
 public:
  // `options` must be valid; tokenizer and constraint (null: none) outlive this.
  Answer(const GenerateOptions& options, const Tokenizer& tokenizer, size_t vocabulary,
         TextCallback on_text, Constraint* constraint = nullptr);

  // A token of the prompt, for the penalties.
  void see(int32_t id) { sampler_.accept(id); }
  // How many of the largest logits decide what is sampled; 0: all of them.
  size_t top() const { return top_; }

  // Samples the next token, which may end the answer; -1 if the constraint allows none. `exact`:
  // where logits beyond the top() largest are approximate, for the constraint.
  int32_t take(std::span<const float> logits, const ExactLogits& exact = nullptr);
  // Ends it before the next token.
  void end(StopReason reason);
  bool ended() const { return ended_; }
  // Tokens that it may still have.
  int64_t left() const;

  // Gives out what text is held back, and the whole. To be called once.
  Completion& finish();
  Completion& completion() { return done_; }

 private:
  void end_if_full();

  const GenerateOptions options_;
  const Tokenizer& tokenizer_;
  Sampler sampler_;
  Constraint* constraint_;
  size_t top_;
  TextSink sink_;
  Completion done_;
  bool ended_ = false;
};

}  // namespace nibble
