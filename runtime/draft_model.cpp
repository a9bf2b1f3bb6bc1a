#include "runtime/draft_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "runtime/sampler.h"
#include "runtime/session_impl.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

// Publishers pad vocabularies: 64 rows are between files of one Gemma 3 model.
constexpr size_t kMostPadding = 256;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Result<void> check_vocabularies(const Model& model, const Model& draft) {
  const Tokenizer& a = *model.impl().tokenizer;
  const Tokenizer& b = *draft.impl().tokenizer;
  const size_t sizes[] = {a.vocabulary_size(), b.vocabulary_size()};
  const size_t common = std::min(sizes[0], sizes[1]);
  std::string difference;
  if (std::max(sizes[0], sizes[1]) - common > kMostPadding) {
    difference = "it has " + std::to_string(sizes[1]) + " tokens, " + model.path() + " has " +
                 std::to_string(sizes[0]);
  }
  for (size_t i = 0; i < common && difference.empty(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (a.piece(id, /*special=*/true) == b.piece(id, /*special=*/true)) continue;
    difference = "token " + std::to_string(i) + " is another text in " + model.path();
  }
  if (difference.empty()) return {};
  return Error{ErrorCode::kUsage,
               draft.path() +
                   ": a draft model needs the vocabulary of the model it drafts for, but " +
                   difference + "; use a smaller model of the same family"};
}

// The share of the likeliest token. From those within 12 of it, by a factor of e: the rest hardly
// count, and a screened head knows them roughly.
double top_probability(std::span<const float> logits, int32_t best) {
  constexpr size_t kRun = 64;
  const float most = logits[static_cast<size_t>(best)];
  const float least = most - 12;
  double sum = 0;
  for (size_t i = 0; i < logits.size(); i += kRun) {
    const auto run = logits.subspan(i, std::min(kRun, logits.size() - i));
    int32_t above = 0;  // without a branch, so that the compiler vectorises it
    for (const float logit : run) above += logit > least ? 1 : 0;
    if (above == 0) continue;
    for (const float logit : run) sum += logit > least ? std::exp(double{logit} - most) : 0;
  }
  return 1 / sum;
}

}  // namespace

DraftModel::DraftModel(std::shared_ptr<Model> draft, std::unique_ptr<Session> session, double cost,
                       size_t vocabulary)
    : model_(std::move(draft)),
      session_(std::move(session)),
      cost_(cost),
      vocabulary_(vocabulary),
      policy_(cost) {
  unread_.reserve(static_cast<size_t>(session_->context()));
}

Result<std::unique_ptr<DraftModel>> DraftModel::create(const Model& model, SessionOptions options) {
  const std::shared_ptr<Model> draft = std::move(options.draft);
  if (draft->impl().engine != model.impl().engine) {
    return Error{ErrorCode::kUsage,
                 "the draft model has another engine than the model it drafts "
                 "for; load both with one"};
  }
  NIBBLE_TRY_VOID(check_vocabularies(model, *draft));
  options.draft = nullptr;
  options.context = std::min(options.context, draft->context_length());
  NIBBLE_TRY(auto session, Session::create(draft, options));
  const double cost =
      static_cast<double>(draft->decode_bytes()) / static_cast<double>(model.decode_bytes());
  const int64_t vocabulary = std::min(model.vocabulary_size(), draft->vocabulary_size());
  return std::unique_ptr<DraftModel>(
      new DraftModel(draft, std::move(session), cost, static_cast<size_t>(vocabulary)));
}

void DraftModel::begin(std::span<const int32_t> tokens) {
  Session::Impl& session = session_->impl();
  session.cancelled = false;
  prompt_ = tokens.size();
  spent_ = {};
  const auto& mine = session.tokens;
  const auto differ = std::mismatch(mine.begin(), mine.end(), tokens.begin(), tokens.end());
  session.keep(static_cast<size_t>(differ.first - mine.begin()));
}

Result<void> DraftModel::read(std::span<const int32_t> ids, int32_t last) {
  Session::Impl& session = session_->impl();
  unread_.assign(ids.begin(), ids.end());
  unread_.push_back(last);
  for (int32_t& id : unread_) {
    if (static_cast<size_t>(id) >= vocabulary_) id = 0;  // padding of the other
  }
  const auto batch = static_cast<size_t>(session.batch);
  spent_.bytes += (unread_.size() + batch - 1) / batch * model_->decode_bytes();
  return session.evaluate(unread_, nullptr, 1);
}

Result<size_t> DraftModel::draft(std::span<const int32_t> tokens, int32_t next,
                                 std::span<int32_t> out) {
  Session::Impl& session = session_->impl();
  const auto room = static_cast<size_t>(session.context);
  if (tokens.size() + 1 >= room) return size_t{0};
  const auto position = [&] { return static_cast<size_t>(session.position()); };

  const Clock::time_point start = Clock::now();
  size_t most = std::min(out.size(), room - tokens.size() - 1);
  if (position() < prompt_ && policy_.is_trusted() && policy_.length(most, 0) > 0) {
    const size_t count = prompt_ - position();
    NIBBLE_TRY_VOID(read(tokens.subspan(position(), count - 1), tokens[prompt_ - 1]));
    const double seconds = seconds_since(start);
    if (!session.cancelled) policy_.read(count, seconds);
    spent_.prompt_s += seconds;
    spent_.seconds += seconds;
  }
  const size_t behind = tokens.size() - position();
  most = policy_.length(most, behind);
  if (most == 0) return size_t{0};

  const Clock::time_point draft_start = Clock::now();
  NIBBLE_TRY_VOID(read(tokens.subspan(position()), next));
  size_t count = 0;
  double chance = 1;  // that all so far come true, if the draft model knows
  for (evaluated_ = 1; !session.cancelled; ++evaluated_) {
    const auto logits = session.logits(0).first(vocabulary_);
    out[count] = argmax(logits);
    chance *= top_probability(logits, out[count]);
    if (!policy_.is_worth(chance) || ++count == most) break;
    NIBBLE_TRY_VOID(read({}, out[count - 1]));
  }
  const double seconds = seconds_since(draft_start);
  if (!session.cancelled) policy_.evaluated(evaluated_, behind, seconds);
  spent_.seconds += seconds;
  return count;
}

void DraftModel::judge(size_t count, size_t proposed, size_t right) {
  Session::Impl& session = session_->impl();
  if (static_cast<size_t>(session.position()) > count) session.keep(count);
  if (evaluated_ > 0) policy_.judge(proposed, right);
  evaluated_ = 0;
}

void DraftModel::reset() {
  session_->reset();
  policy_ = DraftPolicy(cost_);
}

void DraftModel::cancel() {
  session_->cancel();
}

uint64_t DraftModel::memory_bytes() const {
  return session_->memory_bytes();
}

}  // namespace nibble
