// Continuous batching: answers join and leave between steps.
//
// A step has one row for every answer that is being said and, behind them, a slice of the prompts
// that are being read, the oldest first. Rows do not see each other but through their own cache,
// and kernels give a row the same bits in any company, so answers are those of a session alone.
#include "nibble/batch.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/answer.h"
#include "runtime/content_hash.h"
#include "runtime/engine_impl.h"
#include "runtime/memory_plan.h"
#include "runtime/prefix_cache.h"
#include "runtime/workspace.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kMostSequences = 64;
// Prompt tokens of a step while answers are being said: those then come less than half as often.
constexpr size_t kSlice = 12;
constexpr size_t kBlock = NIBBLE_KEY_BLOCK;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One answer in progress.
struct Sequence {
  Sequence(const GenerateOptions& options, const Model::Impl& model,
           std::unique_ptr<Constraint> held)
      : constraint(std::move(held)),
        answer(
            options, *model.tokenizer, model.network.shape().vocabulary,
            [this](std::string_view fresh) {
              text += fresh;
              return true;
            },
            constraint.get()) {}

  // Gives the caller what is new; false if it wants no more.
  bool report() {
    const std::span<const Step> steps = answer.completion().steps;
    if (text.empty() && (!answer.ended() || steps.size() == reported)) return true;
    const bool more = !on_delta || on_delta({text, steps.subspan(reported)});
    reported = steps.size();
    text.clear();
    return more;
  }

  bool is_read() const { return tokens.size() >= prompt.size(); }

  Batch::Id id = 0;
  KvCache* cache = nullptr;
  std::vector<int32_t> prompt;
  std::vector<int32_t> tokens;  // in the cache
  std::optional<int32_t> unfed;
  std::unique_ptr<Constraint> constraint;  // null: none
  Answer answer;
  std::string text;     // not yet reported
  size_t reported = 0;  // steps
  DeltaCallback on_delta;
  DoneCallback on_done;
  PrefixCache::Handle prefix;  // of the last whole block
  bool keeps_prefix = true;
  Clock::time_point start = Clock::now();
  Clock::time_point decode_start;
};

}  // namespace

struct Batch::Impl {
  Impl(std::shared_ptr<Model> m, std::unique_ptr<Workspace> scratch)
      : model(std::move(m)), workspace(std::move(scratch)) {}

  using Place = std::list<Sequence>::iterator;

  void plan();
  void add_rows(Sequence& sequence, std::span<const int32_t> rows, size_t wanted);
  void load_prefix(Sequence& sequence);
  void keep_prefix(Sequence& sequence, int64_t before);
  void take(Place sequence, std::span<const float> logits, const ExactLogits& exact);
  void close(Place sequence);
  void fail(Place sequence, Error error);
  void release(Place sequence);

  std::shared_ptr<Model> model;
  std::unique_ptr<Workspace> workspace;
  PrefixCache prefixes{0};
  std::unique_ptr<TokenOrder> order;  // made for the first grammar
  int64_t context = 0;
  size_t batch = 0;
  std::vector<KvCache> caches;
  std::vector<KvCache*> unused;
  std::list<Sequence> sequences;  // the oldest first
  Id next_id = 1;

  // The rows of the step.
  std::vector<int32_t> ids;
  std::vector<Segment> segments;
  std::vector<Place> owners;  // of the segments
};

Batch::Batch() = default;
Batch::~Batch() = default;

Result<std::unique_ptr<Batch>> Batch::create(std::shared_ptr<Model> model,
                                             const BatchOptions& options) {
  if (options.sequences < 1 || options.sequences > kMostSequences) {
    return Error{ErrorCode::kUsage, "sequences is " + std::to_string(options.sequences) +
                                        ", must be 1 to " + std::to_string(kMostSequences)};
  }
  const ModelShape& shape = model->impl().network.shape();
  SessionOptions one;
  one.context = options.context;
  one.batch = options.batch;
  one.kv = options.kv;
  NIBBLE_TRY(SessionMemory sizes, session_memory(shape, one));
  const auto count = static_cast<size_t>(options.sequences);
  sizes.ops.batch += count;  // a row for each, beside a batch of a prompt
  NIBBLE_TRY(auto workspace, Workspace::create(model->impl(), sizes.ops, count));
  std::unique_ptr<Batch> result(new Batch);
  result->impl_ = std::make_unique<Impl>(std::move(model), std::move(workspace));
  Impl& impl = *result->impl_;
  impl.context = sizes.context;
  impl.batch = static_cast<size_t>(sizes.batch);
  for (size_t i = 0; i < count; ++i) {
    NIBBLE_TRY(KvCache cache,
               KvCache::create(shape.kv_shape(), sizes.context, sizes.batch, sizes.kv_format));
    cache.place(impl.model->impl().nodes);
    impl.caches.push_back(std::move(cache));
  }
  for (KvCache& cache : impl.caches) impl.unused.push_back(&cache);
  std::unique_ptr<PrefixStore> store;
  if (!options.prefix_folder.empty()) {
    const std::string& folder = options.prefix_folder;
    NIBBLE_TRY_VOID(PrefixStore::make_folder(folder));
    // Rotations of long contexts may be others.
    const int64_t variant = impl.model->impl().network.has_long_rope() ? impl.context : 0;
    const auto content = content_hash(impl.model->impl().file, folder);
    if (content) {
      store =
          PrefixStore::open(folder, options.prefix_folder_bytes,
                            prefix_identity(*content, impl.caches.front(), variant), options.note);
    } else if (options.note) {
      options.note(content.error().message + "; " + folder + " is not used");
    }
  }
  impl.prefixes = PrefixCache(options.prefix_bytes, std::move(store));
  return result;
}

Result<void> Batch::check(std::span<const int32_t> prompt, const GenerateOptions& options) const {
  NIBBLE_TRY_VOID(validate(options.sampling));
  if (prompt.empty()) return Error{ErrorCode::kUsage, "the prompt is empty"};
  if (static_cast<int64_t>(prompt.size()) > impl_->context) {
    return Error{ErrorCode::kUsage, "the prompt has " + std::to_string(prompt.size()) +
                                        " tokens, the context holds " +
                                        std::to_string(impl_->context)};
  }
  const int64_t vocabulary = impl_->model->vocabulary_size();
  for (const int32_t id : prompt) {
    if (id >= 0 && id < vocabulary) continue;
    return Error{ErrorCode::kUsage, "token id " + std::to_string(id) +
                                        " is outside the vocabulary of " +
                                        std::to_string(vocabulary)};
  }
  return {};
}

Result<Batch::Id> Batch::add(std::span<const int32_t> prompt, const GenerateOptions& options,
                             DeltaCallback on_delta, DoneCallback on_done,
                             std::shared_ptr<const Grammar> grammar) {
  NIBBLE_TRY_VOID(check(prompt, options));
  Impl& impl = *impl_;
  if (impl.unused.empty()) {
    return Error{ErrorCode::kUnavailable, "all " + std::to_string(impl.caches.size()) +
                                              " sequences are in use; try again later"};
  }
  const Model::Impl& model = impl.model->impl();
  std::unique_ptr<Constraint> constraint;
  if (grammar != nullptr) {
    if (impl.order == nullptr) impl.order = std::make_unique<TokenOrder>(*model.tokenizer);
    constraint = std::make_unique<Constraint>(std::move(grammar), *model.tokenizer, *impl.order);
  }
  Sequence& sequence = impl.sequences.emplace_back(options, model, std::move(constraint));
  sequence.id = impl.next_id++;
  sequence.cache = impl.unused.back();
  impl.unused.pop_back();
  sequence.prompt.assign(prompt.begin(), prompt.end());
  sequence.tokens.reserve(static_cast<size_t>(impl.context));
  for (const int32_t id : prompt) sequence.answer.see(id);
  sequence.on_delta = std::move(on_delta);
  sequence.on_done = std::move(on_done);
  return sequence.id;
}

bool Batch::has_room() const {
  return !impl_->unused.empty();
}
int64_t Batch::active() const {
  return static_cast<int64_t>(impl_->sequences.size());
}
int64_t Batch::context() const {
  return impl_->context;
}

uint64_t Batch::memory_bytes() const {
  uint64_t bytes = impl_->workspace->size() + impl_->prefixes.size();
  for (const KvCache& cache : impl_->caches) bytes += cache.size();
  return bytes;
}

void Batch::cancel(Id id) {
  auto& all = impl_->sequences;
  const auto found = std::find_if(all.begin(), all.end(), [&](auto& s) { return s.id == id; });
  if (found == all.end()) return;
  found->answer.end(StopReason::kCancelled);
  impl_->close(found);
}

bool Batch::step() {
  Impl& impl = *impl_;
  impl.plan();
  if (!impl.segments.empty()) {
    size_t wanted = 0;
    size_t top = 0;
    bool all = false;
    for (size_t i = 0; i < impl.segments.size(); ++i) {
      if (impl.segments[i].wanted == 0) continue;
      ++wanted;
      top = std::max(top, impl.owners[i]->answer.top());
      all |= impl.owners[i]->answer.top() == 0;
    }
    const Rows logits = impl.workspace->logit_rows(wanted);
    impl.workspace->evaluate(impl.ids, impl.segments, logits, all ? 0 : top);
    const bool approximate = !all && impl.model->impl().network.head().has_screen();
    size_t at = 0;
    size_t row = 0;
    for (size_t i = 0; i < impl.segments.size(); ++i) {
      const Segment& segment = impl.segments[i];
      const Impl::Place owner = impl.owners[i];
      owner->tokens.insert(owner->tokens.end(), &impl.ids[at], &impl.ids[at] + segment.m);
      at += segment.m;
      impl.keep_prefix(*owner, segment.position);
      if (segment.wanted == 0) continue;
      ExactLogits exact;
      if (approximate) {
        exact = [&impl, row](std::span<const int32_t> ids, std::span<float> out) {
          impl.workspace->exact_logits(row, ids, out);
        };
      }
      impl.take(owner, {logits.row(row), logits.cols}, exact);
      ++row;
    }
  }
  if (!impl.sequences.empty()) return true;
  impl.model->impl().engine->impl().team->rest();
  return false;
}

// Chooses the rows of the next step, and closes what cannot go on.
void Batch::Impl::plan() {
  ids.clear();
  segments.clear();
  owners.clear();
  for (auto next = sequences.begin(); next != sequences.end();) {
    const Place sequence = next++;
    if (!sequence->unfed) {
      if (sequence->answer.ended()) close(sequence);  // nothing was asked for
      continue;
    }
    if (static_cast<int64_t>(sequence->tokens.size()) >= context) {
      sequence->answer.end(StopReason::kContextFull);
      close(sequence);
      continue;
    }
    add_rows(*sequence, {&*sequence->unfed, 1}, 1);
    owners.push_back(sequence);
  }
  size_t left = segments.empty() ? batch : std::min(batch, kSlice);
  for (auto sequence = sequences.begin(); sequence != sequences.end() && left > 0; ++sequence) {
    if (sequence->is_read()) continue;
    load_prefix(*sequence);
    const size_t read = sequence->tokens.size();
    const size_t m = std::min(left, sequence->prompt.size() - read);
    add_rows(*sequence, std::span(sequence->prompt).subspan(read, m),
             read + m == sequence->prompt.size() ? 1 : 0);
    owners.push_back(sequence);
    left -= m;
  }
}

void Batch::Impl::add_rows(Sequence& sequence, std::span<const int32_t> rows, size_t wanted) {
  segments.push_back(
      {sequence.cache, static_cast<int64_t>(sequence.tokens.size()), rows.size(), wanted});
  ids.insert(ids.end(), rows.begin(), rows.end());
}

// Whole blocks that are known already need not be evaluated; the last token has to be, for its
// logits.
void Batch::Impl::load_prefix(Sequence& sequence) {
  while (sequence.tokens.size() % kBlock == 0 &&
         sequence.tokens.size() + kBlock < sequence.prompt.size()) {
    const size_t read = sequence.tokens.size();
    if (read > 0 && sequence.prefix == nullptr) return;
    const auto tokens = std::span(sequence.prompt).subspan(read, kBlock);
    PrefixCache::Handle known =
        prefixes.find(sequence.prefix, tokens, sequence.cache->state_bytes());
    if (known == nullptr) return;
    sequence.cache->load_block(read / kBlock, known->state.as());
    sequence.prefix = std::move(known);
    sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
    sequence.answer.completion().stats.cached_tokens += kBlock;
  }
}

// Keeps the blocks that became whole since `before` positions were stored.
void Batch::Impl::keep_prefix(Sequence& sequence, int64_t before) {
  const auto position = static_cast<int64_t>(sequence.tokens.size());
  for (size_t block = static_cast<size_t>(before) / kBlock;
       sequence.keeps_prefix && (block + 1) * kBlock <= sequence.tokens.size(); ++block) {
    sequence.prefix =
        prefixes.add(sequence.prefix, std::span(sequence.tokens).subspan(block * kBlock, kBlock),
                     *sequence.cache, block, position);
    sequence.keeps_prefix = sequence.prefix != nullptr;
  }
}

void Batch::Impl::take(Place sequence, std::span<const float> logits, const ExactLogits& exact) {
  const auto position = static_cast<int64_t>(sequence->tokens.size()) - 1;
  if (auto finite = workspace->check_finite(logits, position); !finite) {
    return fail(sequence, std::move(finite).error());
  }
  Answer& answer = sequence->answer;
  Stats& stats = answer.completion().stats;
  if (!sequence->unfed) {
    stats.prompt_tokens = static_cast<int64_t>(sequence->prompt.size()) - stats.cached_tokens;
    sequence->decode_start = Clock::now();
    stats.prompt_s = seconds_since(sequence->start);
  } else {
    ++stats.decode_tokens;
    ++stats.decode_passes;
  }
  const int32_t id = answer.take(logits, exact);
  if (id < 0) {
    return fail(sequence, {ErrorCode::kUsage,
                           "no token of this model goes on in the grammar; allow more in it"});
  }
  sequence->unfed = id;
  if (stats.first_token_s == 0) stats.first_token_s = seconds_since(sequence->start);
  if (!sequence->report() && !answer.ended()) answer.end(StopReason::kCancelled);
  if (answer.ended()) close(sequence);
}

void Batch::Impl::close(Place sequence) {
  Completion& done = sequence->answer.finish();
  if (sequence->unfed) done.stats.decode_s = seconds_since(sequence->decode_start);
  sequence->report();
  DoneCallback on_done = std::move(sequence->on_done);
  Completion completion = std::move(done);
  release(sequence);
  if (on_done) on_done(std::move(completion));
}

void Batch::Impl::fail(Place sequence, Error error) {
  DoneCallback on_done = std::move(sequence->on_done);
  release(sequence);
  if (on_done) on_done(std::move(error));
}

void Batch::Impl::release(Place sequence) {
  unused.push_back(sequence->cache);
  sequences.erase(sequence);
}

}  // namespace nibble
