// Several answers at once: each step evaluates one token of every answer in progress together, and
// a slice of the prompts that wait, so that the weights are read once for all.
//
//   auto batch = nibble::Batch::create(model, {});
//   (*batch)->add(ids, options, on_delta, on_done);   // as many as there is room for, at any time
//   while ((*batch)->step()) {
//   }
//
// An answer is what Session would give for the same prompt and seed, bit for bit, whoever is
// evaluated along with it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "nibble/nibble.h"

namespace nibble {

struct BatchOptions {
  int64_t context = 0;    // tokens of each sequence; 0: the smaller of the trained length and 4096
  int64_t sequences = 8;  // in progress at once, 1 to 64; each has a KV cache of its own
  int64_t batch = 256;    // most prompt tokens evaluated at once
  KvFormat kv = KvFormat::kF16;
  // For keys and values of prompts and answers that another may begin with; 0: nothing is kept.
  uint64_t prefix_bytes = uint64_t{256} << 20;
  // A folder that keeps those of them that were used a second time, for later runs with the same
  // model; empty: none. Made where it is missing; `note` hears, on any thread, of what is wrong in
  // it.
  std::string prefix_folder = {};
  uint64_t prefix_folder_bytes = uint64_t{1} << 30;
  std::function<void(const std::string&)> note = {};
};

// What came since the last one.
struct Delta {
  std::string_view text;        // whole UTF-8 characters, may be empty
  std::span<const Step> steps;  // of new tokens, where log-probabilities were asked for
};

// What an answer may be: a grammar in GBNF (runtime/grammar/grammar.h). Immutable.
class Grammar;
// Error 64 with the line. Takes some milliseconds at most, whatever the source.
Result<std::shared_ptr<const Grammar>> parse_grammar(std::string_view gbnf);

// Return false to end the answer.
using DeltaCallback = std::function<bool(const Delta& delta)>;
// The answer, or 65 for a model whose output is not finite, 64 where no token of the vocabulary
// goes on in the grammar.
using DoneCallback = std::function<void(Result<Completion> completion)>;

// Use it from one thread at a time.
class Batch {
 public:
  using Id = uint64_t;

  // Errors as of Session::create; 73 or 77 where prefix_folder cannot be used.
  static Result<std::unique_ptr<Batch>> create(std::shared_ptr<Model> model,
                                               const BatchOptions& options);
  ~Batch();

  // Error 64 if this prompt can never be answered: empty, longer than the context, an id outside
  // the vocabulary, an option out of its range.
  Result<void> check(std::span<const int32_t> prompt, const GenerateOptions& options) const;

  // Takes a prompt. The callbacks are called by step() and cancel(), on_done exactly once; they
  // must not call this batch. GenerateOptions::lookup is not used. Errors: those of check(), 69
  // when there is no room. With a grammar the answer ends when it is whole.
  Result<Id> add(std::span<const int32_t> prompt, const GenerateOptions& options,
                 DeltaCallback on_delta, DoneCallback on_done,
                 std::shared_ptr<const Grammar> grammar = nullptr);
  bool has_room() const;
  int64_t active() const;  // answers in progress

  // Ends an answer: on_done gets what there is of it. An id that is not in progress: nothing.
  void cancel(Id id);

  // One evaluation. False when nothing is left in progress.
  bool step();

  int64_t context() const;
  uint64_t memory_bytes() const;  // KV caches, scratch and kept prefixes

  struct Impl;

 private:
  Batch();
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
