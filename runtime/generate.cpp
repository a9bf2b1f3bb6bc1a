// Answering: prompt in, sampled tokens and streamed text out; and the chat form around it.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "runtime/answer.h"
#include "runtime/engine_impl.h"
#include "runtime/sampler.h"
#include "runtime/session_impl.h"
#include "runtime/speculation.h"

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
  Answer answer(options, tokenizer, network.shape().vocabulary, on_text);
  Completion& done = answer.completion();
  Speculation guess(options.lookup ? static_cast<size_t>(context) + 1 : 0, draft.get());
  for (const auto& seen : {std::span<const int32_t>(tokens), std::span<const int32_t>(ids)}) {
    for (const int32_t id : seen) {
      answer.see(id);
      guess.accept(id);
    }
  }

  const Clock::time_point start = Clock::now();
  done.stats.cached_tokens = position();
  unfed.reset();
  const size_t top = answer.top();
  NIBBLE_TRY_VOID(evaluate(ids, nullptr, top));
  done.stats.prompt_tokens = static_cast<int64_t>(ids.size());
  done.stats.prompt_s = seconds_since(start);
  if (draft != nullptr) draft->begin(tokens);

  const Clock::time_point decode_start = Clock::now();
  uint64_t cache_bytes = 0;
  uint64_t head_rows = 0;
  int64_t steps = 0;    // passes over the weights
  int64_t decoded = 0;  // tokens they gave
  // Takes back what was evaluated on a guess and has not come true.
  const auto drop_guess = [&] {
    tokens.resize(tokens.size() - guess.ahead());
    guess.judge(tokens.size());
  };
  while (!answer.ended()) {
    if (cancelled) {
      answer.end(StopReason::kCancelled);
      break;
    }
    if (unfed && guess.comes_true(*unfed)) {
      ++done.stats.accepted_tokens;
      done.stats.model_accepted_tokens += guess.by_model();
    } else if (unfed) {
      drop_guess();
      if (position() >= context) {
        answer.end(StopReason::kContextFull);
        break;
      }
      const int64_t rows = std::min(
          {static_cast<int64_t>(Lookup::kMostRows), batch, context - position(), answer.left()});
      NIBBLE_TRY_VOID(guess.start(tokens, *unfed, static_cast<size_t>(rows)));
      const auto guessed = static_cast<int64_t>(guess.size());
      done.stats.drafted_tokens += guessed;
      done.stats.model_drafted_tokens += guess.by_model() ? guessed : 0;
      cache_bytes += cache.read_bytes(position());
      const Clock::time_point pass_start = Clock::now();
      NIBBLE_TRY_VOID(step(guess.rows(), workspace->logit_rows(guess.rows().size()), top));
      guess.passed(seconds_since(pass_start));
      if (top > 0) head_rows += workspace->exact_head_rows();
      ++steps;
    }
    decoded += unfed.has_value();
    unfed.reset();
    const int32_t id = answer.take(logits(guess.right()));
    guess.accept(id);
    unfed = id;
    if (done.stats.first_token_s == 0) done.stats.first_token_s = seconds_since(start);
  }
  drop_guess();
  answer.finish();
  done.stats.decode_tokens = decoded;
  done.stats.decode_passes = steps;
  if (draft != nullptr) {
    done.stats.draft_s = draft->spent().seconds;
    done.stats.draft_prompt_s = draft->spent().prompt_s;
  }
  done.stats.decode_s = seconds_since(decode_start);
  if (steps > 0) {
    const uint64_t draft_bytes = draft != nullptr ? draft->spent().bytes : 0;
    const auto count = static_cast<uint64_t>(decoded);
    const uint64_t weights = network.layer_bytes() + (top > 0 ? network.head().decode_bytes()
                                                              : network.head().exact.bytes());
    const uint64_t row_bytes = network.head().exact.tile_bytes;
    done.stats.decode_bytes = (static_cast<uint64_t>(steps) * weights + draft_bytes + cache_bytes +
                               head_rows * row_bytes) /
                              count;
    done.stats.head_rows = static_cast<double>(head_rows) / static_cast<double>(decoded);
  }
  done.stats.peak_memory_bytes = peak_memory_bytes();
  model->impl().engine->impl().team->rest();
  return std::move(done);
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
