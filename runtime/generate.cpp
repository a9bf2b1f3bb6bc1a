// Answering: prompt in, sampled tokens and streamed text out; and the chat form around it.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "runtime/engine_impl.h"
#include "runtime/lookup.h"
#include "runtime/sampler.h"
#include "runtime/session_impl.h"
#include "runtime/text/utf8.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// How many of the largest logits decide what is sampled; 0: all of them.
size_t deciding_logits(const GenerateOptions& options) {
  constexpr int kMost = 512;  // beyond, a screen saves little
  const SamplingOptions& s = options.sampling;
  const bool raises = s.repeat_penalty < 1 || s.presence_penalty < 0 || s.frequency_penalty < 0;
  if (options.logprobs >= 0 || raises) return 0;
  int top = s.temperature == 0 ? 1 : s.top_k;
  if (top == 0) return 0;
  // Penalties push down at most so many, and others move up.
  if (s.repeat_penalty != 1 || s.presence_penalty != 0 || s.frequency_penalty != 0) {
    if (s.penalty_last_n > kMost) return 0;
    top += s.penalty_last_n;
  }
  return top <= kMost ? static_cast<size_t>(top) : 0;
}

// Streams text to the callback, holding back what may become a stop string.
class TextSink {
 public:
  TextSink(const std::vector<std::string>& stops, const TextCallback& on_text)
      : stops_(stops), on_text_(on_text) {}

  // False when generation has to end: a stop string was met, or the callback said so.
  bool push(std::string_view bytes) { return take(utf8_.push(bytes)); }

  void finish() {
    if (!stopped_ && take(utf8_.finish())) emit(held_.size());
  }

  bool met_stop() const { return stopped_; }
  std::string&& text() && { return std::move(text_); }

 private:
  bool take(std::string_view fresh) {
    held_ += fresh;
    size_t stop = std::string::npos;
    size_t keep = 0;
    for (const std::string& s : stops_) {
      if (s.empty()) continue;
      stop = std::min(stop, held_.find(s));
      // The longest end of the held text that begins this stop string.
      for (size_t n = std::min(s.size() - 1, held_.size()); n > keep; --n) {
        if (held_.ends_with(std::string_view(s).substr(0, n))) keep = n;
      }
    }
    if (stop != std::string::npos) {
      stopped_ = true;
      emit(stop);
      return false;
    }
    return emit(held_.size() - keep);
  }

  bool emit(size_t count) {
    if (count == 0) return true;
    const std::string_view ready = std::string_view(held_).substr(0, count);
    text_ += ready;
    const bool go_on = !on_text_ || on_text_(ready);
    held_.erase(0, count);
    return go_on;
  }

  const std::vector<std::string>& stops_;
  const TextCallback& on_text_;
  Utf8Stream utf8_;
  std::string held_;
  std::string text_;
  bool stopped_ = false;
};

// The rows of one decoding pass: a token, and a guess of those that follow it.
class Draft {
 public:
  // At most `most` rows in all.
  void start(int32_t token, const Lookup& lookup, size_t most) {
    rows_[0] = token;
    size_ = lookup.draft(std::span(rows_).subspan(1, most - 1));
    right_ = 0;
  }
  std::span<const int32_t> rows() const { return std::span(rows_).first(size_ + 1); }

  // Whether the token sampled is the next of the guess, and so evaluated already.
  bool comes_true(int32_t token) {
    if (right_ == size_ || rows_[right_ + 1] != token) return false;
    ++right_;
    return true;
  }
  size_t size() const { return size_; }
  size_t right() const { return right_; }
  size_t ahead() const { return size_ - right_; }

 private:
  std::array<int32_t, Lookup::kMostRows> rows_{};
  size_t size_ = 0;  // of the guess
  size_t right_ = 0;
};

}  // namespace

Result<Completion> Session::Impl::generate(std::span<const int32_t> prompt,
                                           const GenerateOptions& options,
                                           const TextCallback& on_text) {
  NIBBLE_TRY_VOID(validate(options.sampling));
  std::vector<int32_t> ids;
  if (unfed) ids.push_back(*unfed);
  ids.insert(ids.end(), prompt.begin(), prompt.end());
  if (ids.empty()) {
    return Error{ErrorCode::kUsage,
                 "the prompt is empty, and this model starts without a BOS "
                 "token; give at least one character"};
  }
  NIBBLE_TRY_VOID(check_fits(ids.size()));

  cancelled = false;
  Completion done;
  Sampler sampler(options.sampling, network.shape().vocabulary);
  Lookup lookup(options.lookup ? static_cast<size_t>(context) + 1 : 0);
  const auto accept = [&](int32_t id) {
    sampler.accept(id);
    if (options.lookup) lookup.accept(id);
  };
  for (const int32_t id : tokens) accept(id);
  for (const int32_t id : ids) accept(id);

  const Clock::time_point start = Clock::now();
  done.stats.cached_tokens = position();
  unfed.reset();
  const size_t top = deciding_logits(options);
  NIBBLE_TRY_VOID(evaluate(ids, nullptr, top));
  done.stats.prompt_tokens = static_cast<int64_t>(ids.size());
  done.stats.prompt_s = seconds_since(start);

  TextSink sink(options.stop, on_text);
  const Clock::time_point decode_start = Clock::now();
  uint64_t cache_bytes = 0;
  uint64_t head_rows = 0;
  int64_t steps = 0;    // passes over the weights
  int64_t decoded = 0;  // tokens they gave
  done.reason = StopReason::kMaxTokens;
  const int64_t most = options.max_tokens < 0 ? INT64_MAX : options.max_tokens;
  Draft draft;
  // Takes back what was evaluated on a guess and has not come true.
  const auto drop_draft = [&] { tokens.resize(tokens.size() - draft.ahead()); };
  while (static_cast<int64_t>(done.tokens.size()) < most) {
    if (cancelled) {
      done.reason = StopReason::kCancelled;
      break;
    }
    if (unfed && draft.comes_true(*unfed)) {
      ++done.stats.accepted_tokens;
    } else if (unfed) {
      drop_draft();
      lookup.judge(draft.size(), draft.right());
      draft = {};
      if (position() >= context) {
        done.reason = StopReason::kContextFull;
        break;
      }
      const int64_t rows =
          std::min({static_cast<int64_t>(Lookup::kMostRows), batch, context - position(),
                    most - static_cast<int64_t>(done.tokens.size())});
      draft.start(*unfed, lookup, static_cast<size_t>(rows));
      done.stats.drafted_tokens += static_cast<int64_t>(draft.size());
      cache_bytes += cache.read_bytes(position());
      NIBBLE_TRY_VOID(step(draft.rows(), logit_rows(draft.rows().size()), top));
      if (top > 0) head_rows += ops.exact_head_rows();
      ++steps;
    }
    decoded += unfed.has_value();
    unfed.reset();
    const std::span<const float> row = logits(draft.right());
    const int32_t id = sampler.sample(row);
    accept(id);
    unfed = id;
    if (done.stats.first_token_s == 0) done.stats.first_token_s = seconds_since(start);
    if (tokenizer.is_end(id) && !options.ignore_end) {
      done.reason = StopReason::kEndOfTurn;
      break;
    }
    done.tokens.push_back(id);
    if (options.logprobs >= 0) {
      Step record;
      record.id = id;
      record.logprob = static_cast<float>(log_probability(row, id));
      top_log_probabilities(row, options.logprobs, &record.top);
      done.steps.push_back(std::move(record));
    }
    if (!sink.push(tokenizer.piece(id))) {
      done.reason = sink.met_stop() ? StopReason::kStopString : StopReason::kCancelled;
      break;
    }
  }
  drop_draft();
  sink.finish();
  if (sink.met_stop()) done.reason = StopReason::kStopString;
  done.text = std::move(sink).text();
  done.stats.decode_tokens = decoded;
  done.stats.decode_s = seconds_since(decode_start);
  if (steps > 0) {
    const auto count = static_cast<uint64_t>(decoded);
    const uint64_t weights = network.layer_bytes() + (top > 0 ? network.head().decode_bytes()
                                                              : network.head().exact.bytes());
    const uint64_t row_bytes = network.head().exact.tile_bytes;
    done.stats.decode_bytes =
        (static_cast<uint64_t>(steps) * weights + cache_bytes + head_rows * row_bytes) / count;
    done.stats.head_rows = static_cast<double>(head_rows) / static_cast<double>(decoded);
  }
  done.stats.peak_memory_bytes = peak_memory_bytes();
  model->impl().engine->impl().team->rest();
  return done;
}

Result<Completion> Session::complete(std::string_view prompt, const GenerateOptions& options,
                                     const TextCallback& on_text) {
  Impl& impl = *impl_;
  const std::vector<int32_t> ids = impl.tokenizer.encode(
      prompt, {.add_bos = impl.tokens.empty() && !impl.unfed, .parse_special = true});
  return impl.generate(ids, options, on_text);
}

void Session::set_system(std::string_view text) {
  impl_->system = impl_->tokenizer.shield(text);
}

Result<Completion> Session::chat(std::string_view message, const GenerateOptions& options,
                                 const TextCallback& on_text) {
  Impl& impl = *impl_;
  const Tokenizer& tokenizer = impl.tokenizer;
  if (impl.messages.empty() && !impl.system.empty()) {
    impl.messages.push_back({"system", impl.system});
  }
  const size_t before = impl.messages.size();
  impl.messages.push_back({"user", tokenizer.shield(message)});
  auto text = impl.model->impl().chat->render(impl.messages, /*add_generation_prompt=*/true);
  if (!text) {
    impl.messages.resize(before);
    return std::move(text).error();
  }

  // Usually the new text goes on where the cache ends: feed only the rest. Otherwise (a template
  // that rewrites history) keep what the two have in common.
  std::vector<int32_t> ids;
  if (!impl.fed.empty() && text->starts_with(impl.fed)) {
    if (impl.unfed && tokenizer.is_end(*impl.unfed)) impl.unfed.reset();  // the template has it
    ids = tokenizer.encode(std::string_view(*text).substr(impl.fed.size()),
                           {.add_bos = false, .parse_special = true});
  } else {
    ids = tokenizer.encode(*text, {.add_bos = true, .parse_special = true});
    const size_t longest = std::min(ids.size() - 1, impl.tokens.size());
    size_t common = 0;
    while (common < longest && ids[common] == impl.tokens[common]) ++common;
    common = impl.keep(common);
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(common));
  }
  auto done = impl.generate(ids, options, on_text);
  if (!done) {
    impl.messages.resize(before);
    return done;
  }
  impl.messages.push_back({"assistant", tokenizer.shield(done->text)});
  impl.fed = *text + impl.messages.back().content;
  return done;
}

}  // namespace nibble
