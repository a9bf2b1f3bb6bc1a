// A session's memory and the evaluation of tokens.
#include "runtime/session_impl.h"

#include <algorithm>
#include <cstring>

#include "runtime/engine_impl.h"
#include "runtime/file/check.h"
#include "runtime/lookup.h"

namespace nibble {
namespace {

constexpr int64_t kDefaultContext = 4096;
constexpr int64_t kMaxBatch = 4096;

Error out_of_range(const char* what, int64_t value, int64_t high, const char* why) {
  return Error{ErrorCode::kUsage, std::string(what) + " is " + std::to_string(value) +
                                      ", must be 1 to " + std::to_string(high) + why};
}

// Whether every value is finite. Branch-free, so that the compiler vectorises it: the vocabulary
// has a quarter of a million entries.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000u;
  uint32_t bad = 0;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bad |= static_cast<uint32_t>((bits & kExponent) == kExponent);
  }
  return bad == 0;
}

}  // namespace

Session::Impl::Impl(std::shared_ptr<Model> m, KvCache kv, OpsScratch ops_scratch, Buffer memory,
                    Buffer logits_memory)
    : model(std::move(m)),
      network(*model->impl().network),
      tokenizer(*model->impl().tokenizer),
      cache(std::move(kv)),
      scratch(std::move(ops_scratch)),
      activation_memory(std::move(memory)),
      ops(*model->impl().engine->impl().team, model->impl().engine->impl().kernels, scratch),
      logit_memory(std::move(logits_memory)) {}

Session::Session() = default;
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::create(std::shared_ptr<Model> model,
                                                 const SessionOptions& options) {
  const ModelShape& shape = model->impl().network->shape();
  const int64_t context =
      options.context == 0 ? std::min(shape.context, kDefaultContext) : options.context;
  if (context < 1 || context > shape.context) {
    return out_of_range("context", context, shape.context,
                        ", the length the model was trained for");
  }
  if (options.batch < 1 || options.batch > kMaxBatch) {
    return out_of_range("batch", options.batch, kMaxBatch, "");
  }
  const int64_t batch = std::min(options.batch, context);
  const auto rows = static_cast<size_t>(batch);
  NIBBLE_TRY(KvCache cache,
             KvCache::create(shape.kv_shape(), context, batch,
                             options.kv == KvFormat::kF16 ? Format::kF16 : Format::kF32));
  const size_t depth =
      std::max({shape.embedding, shape.heads * shape.head_dim, shape.feed_forward});
  NIBBLE_TRY(OpsScratch scratch, OpsScratch::create({rows, depth, shape.heads, shape.head_dim,
                                                     static_cast<size_t>(context)}));
  NIBBLE_TRY(Buffer memory, Buffer::allocate(Activations::bytes(shape, rows), "activations"));
  NIBBLE_TRY(Buffer logits,
             Buffer::allocate(Lookup::kMostRows * shape.vocabulary * sizeof(float), "logits"));

  std::unique_ptr<Session> session(new Session);
  session->impl_ = std::make_unique<Impl>(std::move(model), std::move(cache), std::move(scratch),
                                          std::move(memory), std::move(logits));
  Impl& impl = *session->impl_;
  impl.context = context;
  impl.batch = batch;
  impl.activations.bind(shape, rows, impl.activation_memory.as<float>());
  impl.tokens.reserve(static_cast<size_t>(context));
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

Result<void> Session::Impl::step(std::span<const int32_t> ids, Rows out, size_t top) {
  const size_t m = ids.size();
  NIBBLE_DCHECK(m <= static_cast<size_t>(batch) && out.m >= 1 && out.m <= m);
  const std::lock_guard lock(model->impl().engine->impl().regions);
  activations.resize(m);
  Pass pass{ops, cache, activations, ids, position()};
  network.forward(pass);

  const Rows x = activations.x;
  const size_t first = m - out.m;
  network.logits(ops, Rows{x.row(first), out.m, x.cols, x.stride}, out, top);
  for (size_t t = 0; t < out.m; ++t) {
    if (all_finite({out.row(t), out.cols})) continue;
    return Error{ErrorCode::kData, model->path() +
                                       ": the model's output is not finite at position " +
                                       std::to_string(tokens.size() + first + t) +
                                       "; the file's weights are damaged, download it again"};
  }
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  return {};
}

Result<void> Session::Impl::evaluate(std::span<const int32_t> ids, float* all, size_t top) {
  const auto most = static_cast<size_t>(batch);
  for (size_t i = 0; i < ids.size() && !cancelled; i += most) {
    const size_t m = std::min(most, ids.size() - i);
    Rows out = logit_rows(1);
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

Result<std::vector<float>> Session::evaluate(std::span<const int32_t> ids, bool all_logits) {
  Impl& impl = *impl_;
  const size_t vocabulary = impl.network.shape().vocabulary;
  if (ids.empty()) return Error{ErrorCode::kUsage, "no tokens to evaluate"};
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= vocabulary) {
      return Error{ErrorCode::kUsage, "token id " + std::to_string(id) +
                                          " is outside the vocabulary of " +
                                          std::to_string(vocabulary)};
    }
  }
  NIBBLE_TRY_VOID(impl.check_fits(ids.size()));
  impl.cancelled = false;
  impl.unfed.reset();
  std::vector<float> all(all_logits ? ids.size() * vocabulary : 0);
  NIBBLE_TRY_VOID(impl.evaluate(ids, all_logits ? all.data() : nullptr, 0));
  if (!all_logits) all.assign(impl.logits(0).begin(), impl.logits(0).end());
  return all;
}

void Session::reset() {
  impl_->tokens.clear();
  impl_->unfed.reset();
  impl_->messages.clear();
  impl_->fed.clear();
}

void Session::cancel() {
  impl_->cancelled = true;
}
int64_t Session::position() const {
  return impl_->position();
}
int64_t Session::context() const {
  return impl_->context;
}

uint64_t Session::memory_bytes() const {
  return impl_->cache.size() + impl_->activation_memory.size() + impl_->scratch.size() +
         impl_->logit_memory.size();
}

}  // namespace nibble
