#include "runtime/workspace.h"

#include <cstring>
#include <mutex>

#include "runtime/engine_impl.h"
#include "runtime/machine/placement.h"

namespace nibble {
namespace {

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

// The engine's workers, as many as the tokens want, for as long as a step takes.
class Turn {
 public:
  Turn(const Model::Impl& model, size_t tokens)
      : lock_(model.engine->impl().regions), caller_(workers(model, tokens)) {}

 private:
  static const ThreadTeam& workers(const Model::Impl& model, size_t tokens) {
    ThreadTeam& team = *model.engine->impl().team;
    team.use(tokens <= Ops::kFewTokens ? model.decoders : model.readers);
    return team;
  }

  std::lock_guard<std::mutex> lock_;
  ThreadTeam::Caller caller_;
};

}  // namespace

Workspace::Workspace(const Model::Impl& model, OpsScratch scratch, Buffer memory, Buffer logits)
    : model_(model),
      scratch_(std::move(scratch)),
      memory_(std::move(memory)),
      logits_(std::move(logits)),
      ops_(*model.engine->impl().team, model.engine->impl().kernels, scratch_) {}

Result<std::unique_ptr<Workspace>> Workspace::create(const Model::Impl& model,
                                                     const OpsScratch::Sizes& sizes,
                                                     size_t logit_rows) {
  const ModelShape& shape = model.network.shape();
  NIBBLE_TRY(OpsScratch scratch, OpsScratch::create(sizes));
  NIBBLE_TRY(Buffer memory,
             Buffer::allocate(Activations::bytes(shape, sizes.batch), "activations"));
  NIBBLE_TRY(Buffer logits,
             Buffer::allocate(logit_rows * shape.vocabulary * sizeof(float), "logits"));
  // What passes between operations is written and read by the workers of all nodes; it goes to the
  // node of the caller, who does the serial work on it.
  if (!model.nodes.empty()) {
    scratch.place(model.nodes.front());
    for (const Buffer* buffer : {&memory, &logits}) {
      place_pages(buffer->as(), buffer->size(), std::span(model.nodes).first(1));
    }
  }
  std::unique_ptr<Workspace> workspace(
      new Workspace(model, std::move(scratch), std::move(memory), std::move(logits)));
  workspace->activations_.bind(shape, sizes.batch, workspace->memory_.as<float>());
  return workspace;
}

void Workspace::evaluate(std::span<const int32_t> ids, std::span<const Segment> segments, Rows out,
                         size_t top) {
  const Turn turn(model_, ids.size());
  activations_.resize(ids.size());
  Pass pass{ops_, activations_, ids, segments};
  model_.network.forward(pass);
  if (out.m > 0) model_.network.logits(ops_, activations_.x, out, top);
}

Rows Workspace::hidden(std::span<const int32_t> ids, std::span<const Segment> segments) {
  const Turn turn(model_, ids.size());
  activations_.resize(ids.size());
  Pass pass{ops_, activations_, ids, segments};
  model_.network.forward(pass);
  model_.network.final_norm(ops_, activations_.x);
  return activations_.x;
}

Result<void> check_finite(const Model& model, std::span<const float> logits, int64_t position) {
  NIBBLE_TRY_VOID(model.impl().file.check_read());
  if (all_finite(logits)) return {};
  return Error{ErrorCode::kData, model.path() + ": the model's output is not finite at position " +
                                     std::to_string(position) +
                                     "; the file's weights are damaged, download it again"};
}

}  // namespace nibble
