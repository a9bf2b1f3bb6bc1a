// nibble: small language models on CPUs. The C++ API.
//
//   auto engine = nibble::Engine::create({});
//   auto model = nibble::Model::load(*engine, "gemma-3-1b-it-q4_0.gguf");
//   auto session = nibble::Session::create(*model, {});
//   (*session)->chat("Why is the sky blue?", {}, [](std::string_view text) {
//     std::cout << text << std::flush;
//     return true;
//   });
//
// Every call that can fail because of input gives a Result; no exception leaves this API. A whole
// program is in tools/examples/hello.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/result.h"

namespace nibble {

// Version of the library, "0.1.0".
std::string_view version();

struct EngineOptions {
  int threads = 0;  // 0: the machine's defaults (physical performance cores within the CPU quota)
  std::string
      isa;  // force an ISA level ("avx2"); empty: NIBBLE_ISA from the environment, else auto
  int prompt_threads = 0;  // threads that read prompts, if not as many as `threads` or the default
  std::string cpus = {};   // "0-3,8": run on these CPUs alone; empty: on all it may use
  std::string numa = "auto";  // memory nodes: "auto", "off" (take all for one), or a list, "0,1"
  // Speed of each kind of core relative to the fastest, slowest first; empty: measured where kinds
  // differ, in a few milliseconds, and kept in `cache_directory` if that is not empty.
  std::vector<double> core_speeds = {};
  std::string cache_directory = {};
};

// The machine as nibble uses it: its threads and its chosen kernels. One is enough per program.
// Models keep their engine alive. Thread-safe; regions of several sessions run one after the other.
class Engine {
 public:
  // Errors: 64 for a level that this binary or machine does not have (the message lists those that
  // can be chosen), for a thread count out of range (1 .. 1024), and for lists of CPUs or nodes
  // that name what this process may not use.
  static Result<std::shared_ptr<Engine>> create(const EngineOptions& options);
  ~Engine();

  int threads() const;         // that decode
  int prompt_threads() const;  // that read prompts
  // The kernel chosen for each operation and weight format, and why: {"matmul q4_0", id, reason}.
  struct Choice {
    std::string what;
    std::string kernel;
    std::string isa;
    std::string reason;
  };
  std::vector<Choice> choices() const;
  // What could not be had and what was done instead; empty if all is well.
  std::vector<std::string> notes() const;

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  Engine();
  std::unique_ptr<Impl> impl_;
};

// Progress of loading, 0 .. 1; return false to stop (the load then fails with kInterrupted).
using ProgressCallback = std::function<bool(double fraction)>;

// How logits are computed while generating. kScreened: a float head of many rows is read through a
// compact copy, and only rows that can be among the best are computed from the original; kExact:
// all rows from the original, as evaluate() and log-probabilities always do.
enum class HeadMode { kScreened, kExact };

class Model;

// Numbers of the KV cache: 16, 32, 8.5 or 4.5 bits each.
enum class KvFormat { kF16, kF32, kQ8_0, kQ4_0 };

struct SessionOptions {
  int64_t context = 0;  // tokens; 0: the smaller of the trained length and 4096
  int64_t batch = 256;  // most prompt tokens evaluated at once
  KvFormat kv = KvFormat::kF16;
  // A smaller model with the same vocabulary and engine, to guess tokens where lookup has no guess:
  // faster where it is often right, and the same answer always. It reads each prompt too, after the
  // first token; drafting that does not pay is paused.
  std::shared_ptr<Model> draft = nullptr;
};

struct LoadOptions {
  ProgressCallback progress;
  HeadMode head = HeadMode::kScreened;
  // Loading is refused before it begins if the model, a session of these options and
  // `reserved_bytes` (what others of this process take) need more memory than this, or than the
  // control group or the machine have. 0: no limit of its own.
  uint64_t memory_limit = 0;
  uint64_t reserved_bytes = 0;
  SessionOptions session;
};

// Weights, tokenizer and chat template of one GGUF file. Immutable and thread-safe.
class Model {
 public:
  // Errors: 66, 77 the file cannot be opened; 65 it is damaged or not supported; 71 memory: what is
  // needed, what is allowed and what would fit; 130 `progress` stopped it.
  static Result<std::shared_ptr<Model>> load(std::shared_ptr<Engine> engine,
                                             const std::string& path,
                                             const LoadOptions& options = {});
  ~Model();

  const std::string& path() const;
  const std::string& architecture() const;  // "gemma3"
  std::string name() const;                 // general.name, or the file's name
  int64_t context_length() const;           // as trained
  int64_t vocabulary_size() const;
  uint64_t weight_bytes() const;  // as held in memory
  // What LoadOptions::session was planned to take together with the model, of memory; rows of the
  // file that are read now and then are not counted.
  uint64_t planned_bytes() const;
  uint64_t decode_bytes() const;  // read from memory per decoded token, without the cache
  // Multiply-accumulates of a prompt token in the int8 matrix kernels: a lower bound of its work,
  // without attention and head. 0 for a model of float weights.
  uint64_t int8_products() const;
  // Where the model is. Of the weights' pages that were looked at after loading, how many lie on
  // the memory node whose threads read them; no pages where there is one node, or the system does
  // not tell.
  struct Placement {
    int threads = 1;  // that decode this model
    int nodes = 1;    // that it is spread over
    uint64_t pages = 0;
    uint64_t right = 0;
  };
  Placement placement() const;
  // Exact bytes of the KV cache of a default session for a context of `tokens`.
  uint64_t kv_bytes(int64_t tokens) const;
  bool is_chat_model() const;              // the file brings a chat template
  std::vector<std::string> notes() const;  // corrections made while loading

  std::vector<int32_t> tokenize(std::string_view text, bool add_bos, bool parse_special) const;
  std::string detokenize(std::span<const int32_t> ids) const;

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  Model();
  std::unique_ptr<Impl> impl_;
};

struct SamplingOptions {
  float temperature = 1.0f;        // 0: greedy
  int top_k = 64;                  // 0: all
  float top_p = 0.95f;             // 1: all
  float min_p = 0.0f;              // 0: off
  float repeat_penalty = 1.0f;     // 1: off
  float presence_penalty = 0.0f;   // 0: off
  float frequency_penalty = 0.0f;  // 0: off
  int penalty_last_n = 64;         // tokens looked at by the penalties; 0: none
  uint64_t seed = 0;
};

// The sampling that the file recommends, else that of its family (Gemma: 1.0, 64, 0.95).
SamplingOptions recommended_sampling(const Model& model);

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t max_tokens = -1;        // -1: until the model ends its turn or the context is full
  std::vector<std::string> stop;  // generation ends before the first of these
  bool ignore_end = false;        // go on after an end token (benchmarks)
  int logprobs = -1;              // >= 0: Step records with that many alternatives
  // Evaluate guesses, taken from what was said before, along with each token: faster where text
  // repeats itself (quotes, edits), and the same answer always.
  bool lookup = true;
};

enum class StopReason { kEndOfTurn, kStopString, kMaxTokens, kContextFull, kCancelled };
std::string_view stop_reason_name(StopReason reason);  // "end", "stop", "length", "context", ...

struct Step {
  int32_t id = 0;
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top;
};

struct Stats {
  int64_t prompt_tokens = 0;  // evaluated now (without those found in the cache)
  int64_t cached_tokens = 0;
  int64_t decode_tokens = 0;
  int64_t decode_passes = 0;          // evaluations that gave them
  int64_t drafted_tokens = 0;         // guessed, by lookup or the draft model
  int64_t accepted_tokens = 0;        // of those, came true
  int64_t model_drafted_tokens = 0;   // of the guessed, by the draft model
  int64_t model_accepted_tokens = 0;  // of those, came true
  double draft_s = 0;                 // spent in the draft model; counted in decode_s
  double draft_prompt_s = 0;          // of that, reading what was there before the answer
  double prompt_s = 0;
  double decode_s = 0;
  double first_token_s = 0;        // from the call to the first token
  uint64_t decode_bytes = 0;       // read per decoded token, cache included, on average
  double head_rows = 0;            // rows of a screened head computed exactly, per decoded token
  uint64_t peak_memory_bytes = 0;  // resident, of the process
};

struct Completion {
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<Step> steps;  // when logprobs >= 0
  StopReason reason = StopReason::kEndOfTurn;
  Stats stats;
};

// Called with whole UTF-8 characters as they come; return false to stop.
using TextCallback = std::function<bool(std::string_view text)>;

// One conversation: a KV cache and its scratch memory, all allocated here. Use it from one thread
// at a time; cancel() may be called from any.
class Session {
 public:
  // Errors: 64 context or batch out of range, or a quantised KV cache for a model whose heads are
  // not a multiple of 32 wide, or a draft model with another vocabulary (the message names the
  // token) or engine; 71 "need X for the KV cache, allowed Y; try a context of Z".
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<Model> model,
                                                 const SessionOptions& options);
  ~Session();

  // Continues `prompt` without a chat template. The text follows what this session has seen so far
  // (BOS is added only at the start, special tokens are parsed). Error 64 when it does not fit the
  // context, with both counts; nothing is then changed.
  Result<Completion> complete(std::string_view prompt, const GenerateOptions& options,
                              const TextCallback& on_text = {});

  // The same for a prompt given as token ids, nothing added. Error 64 also for one outside the
  // vocabulary.
  Result<Completion> generate(std::span<const int32_t> ids, const GenerateOptions& options,
                              const TextCallback& on_text = {});

  // Adds a user's message to the conversation and answers it in the model's chat form. Control
  // tokens in the message are plain text. After a cancel the part that was said stays in history.
  Result<Completion> chat(std::string_view message, const GenerateOptions& options,
                          const TextCallback& on_text = {});
  // Sets or clears the system message; takes effect with a new conversation (reset()).
  void set_system(std::string_view text);

  // Evaluates tokens after the current position and gives the logits of each: [ids][vocabulary].
  // For perplexity and tests.
  Result<std::vector<float>> evaluate(std::span<const int32_t> ids, bool all_logits);
  // The same into memory of the caller, which must be [ids][vocabulary] (else error 64).
  Result<void> evaluate(std::span<const int32_t> ids, std::span<float> logits);

  // Forgets everything but the system message.
  void reset();
  // Stops a running complete() or chat() after the current token. Thread-safe.
  void cancel();

  int64_t position() const;  // tokens in the cache
  int64_t context() const;
  uint64_t memory_bytes() const;  // KV cache and scratch, those of a draft model included
  uint64_t kv_bytes() const;      // KV cache alone, without a draft model's

  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  Session();
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
