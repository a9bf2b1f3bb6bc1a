// A session's memory and the evaluation of tokens.
#include "runtime/session_impl.h"

#include <algorithm>

#include "runtime/engine_impl.h"
#include "runtime/file/check.h"
#include "runtime/lookup.h"
#include "runtime/memory_plan.h"

namespace nibble {

Session::Impl::Impl(std::shared_ptr<Model> m, KvCache kv, std::unique_ptr<Workspace> scratch)
    : model(std::move(m)),
      network(model->impl().network),
      tokenizer(*model->impl().tokenizer),
      cache(std::move(kv)),
      workspace(std::move(scratch)) {}

Session::Session() = default;
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<Model> model,
                                                 const SessionOptions& options) {
  const ModelShape& shape = model->impl().network.shape();
  NIBBLE_TRY(const SessionMemory sizes, session_memory(shape, options));
  NIBBLE_TRY(KvCache cache,
             KvCache::create(shape.kv_shape(), sizes.context, sizes.batch, sizes.kv_format));
  NIBBLE_TRY(auto workspace, Workspace::create(model->impl(), sizes.ops, Lookup::kMostRows));

  cache.place(model->impl().nodes);

  std::unique_ptr<Session> session(new Session);
  session->impl_ = std::make_unique<Impl>(std::move(model), std::move(cache), std::move(workspace));
  Impl& impl = *session->impl_;
  impl.context = sizes.context;
  impl.batch = sizes.batch;
  impl.tokens.reserve(static_cast<size_t>(sizes.context));
  if (options.draft != nullptr) {
    SessionOptions draft_options = options;
    draft_options.context = sizes.context;
    NIBBLE_TRY(impl.draft, DraftModel::create(*impl.model, draft_options));
  }
  return session;
}

Result<void> Session::Impl::check_fits(size_t more) const {
  if (tokens.size() + more <= static_cast<size_t>(context)) return {};
  std::string text = "the prompt has " + std::to_string(more) + " tokens, the context holds " +
                     std::to_string(context);
  if (!tokens.empty()) text += " and " + std::to_string(tokens.size()) + " are in use";
  const int64_t trained = network.shape().context;
  if (trained > context) {
    text += "; set a larger context (-c, up to " + std::to_string(trained) + ")";
  } else {
    text += ", which is the most this model can; shorten the prompt";
  }
  return Error{ErrorCode::kUsage, text};
}

Result<void> Session::Impl::check_known(std::span<const int32_t> ids) const {
  const size_t vocabulary = network.shape().vocabulary;
  for (const int32_t id : ids) {
    if (id >= 0 && static_cast<size_t>(id) < vocabulary) continue;
    return Error{ErrorCode::kUsage, "token id " + std::to_string(id) +
                                        " is outside the vocabulary of " +
                                        std::to_string(vocabulary)};
  }
  return {};
}

Result<void> Session::Impl::step(std::span<const int32_t> ids, Rows out, size_t top) {
  const size_t m = ids.size();
  NIBBLE_DCHECK(m <= static_cast<size_t>(batch) && out.m <= m);
  const Segment own{&cache, position(), m, out.m};
  workspace->evaluate(ids, {&own, 1}, out, top);
  for (size_t t = 0; t < out.m; ++t) {
    const auto at = position() + static_cast<int64_t>(m - out.m + t);
    NIBBLE_TRY_VOID(workspace->check_finite({out.row(t), out.cols}, at));
  }
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  return {};
}

Result<void> Session::Impl::evaluate(std::span<const int32_t> ids, float* all, size_t top) {
  const auto most = static_cast<size_t>(batch);
  for (size_t i = 0; i < ids.size() && !cancelled; i += most) {
    const size_t m = std::min(most, ids.size() - i);
    Rows out =
        workspace->logit_rows(i + m == ids.size() ? 1 : 0);  // only the last token's are asked for
    if (all != nullptr) out = {all + i * out.cols, m, out.cols, out.cols};
    NIBBLE_TRY_VOID(step(ids.subspan(i, m), out, top));
  }
  return {};
}

size_t Session::Impl::keep(size_t count) {
  const int64_t back = position() - static_cast<int64_t>(count);
  if (back > cache.rewindable(position())) count = 0;
  tokens.resize(count);
  unfed.reset();
  return count;
}

Result<void> Session::Impl::check_ids(std::span<const int32_t> ids) const {
  if (ids.empty()) return Error{ErrorCode::kUsage, "no tokens to evaluate"};
  NIBBLE_TRY_VOID(check_known(ids));
  return check_fits(ids.size());
}

Result<std::vector<float>> Session::evaluate(std::span<const int32_t> ids, bool all_logits) {
  Impl& impl = *impl_;
  NIBBLE_TRY_VOID(impl.check_ids(ids));
  if (all_logits) {
    std::vector<float> all(ids.size() * impl.network.shape().vocabulary);
    NIBBLE_TRY_VOID(evaluate(ids, all));
    return all;
  }
  impl.cancelled = false;
  impl.unfed.reset();
  NIBBLE_TRY_VOID(impl.evaluate(ids, nullptr, 0));
  return std::vector<float>(impl.logits(0).begin(), impl.logits(0).end());
}

Result<void> Session::evaluate(std::span<const int32_t> ids, std::span<float> logits) {
  Impl& impl = *impl_;
  NIBBLE_TRY_VOID(impl.check_ids(ids));
  if (logits.size() != ids.size() * impl.network.shape().vocabulary) {
    return Error{ErrorCode::kUsage, "the logits of " + std::to_string(ids.size()) +
                                        " tokens do not have the length " +
                                        std::to_string(logits.size())};
  }
  impl.cancelled = false;
  impl.unfed.reset();
  return impl.evaluate(ids, logits.data(), 0);
}

Result<Completion> Session::generate(std::span<const int32_t> ids, const GenerateOptions& options,
                                     const TextCallback& on_text) {
  NIBBLE_TRY_VOID(impl_->check_known(ids));
  return impl_->generate(ids, options, on_text);
}

void Session::reset() {
  impl_->tokens.clear();
  impl_->unfed.reset();
  impl_->messages.clear();
  impl_->fed.clear();
  if (impl_->draft != nullptr) impl_->draft->reset();
}

void Session::cancel() {
  impl_->cancelled = true;
  if (impl_->draft != nullptr) impl_->draft->cancel();
}
int64_t Session::position() const {
  return impl_->position();
}
int64_t Session::context() const {
  return impl_->context;
}

uint64_t Session::kv_bytes() const {
  return impl_->cache.size();
}
uint64_t Session::memory_bytes() const {
  return impl_->cache.size() + impl_->workspace->size() +
         (impl_->draft != nullptr ? impl_->draft->memory_bytes() : 0);
}

}  // namespace nibble
