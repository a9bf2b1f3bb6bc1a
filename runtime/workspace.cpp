#include "runtime/workspace.h"

#include <mutex>

#include "runtime/engine_impl.h"
#include "runtime/file/concat.h"
#include "runtime/machine/placement.h"

namespace nibble {
namespace {

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

  std::lock_guard<Turns> lock_;
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
  forward(pass);
  if (out.m > 0) model_.network.logits(ops_, activations_.x, out, top);
}

Rows Workspace::hidden(std::span<const int32_t> ids, std::span<const Segment> segments) {
  const Turn turn(model_, ids.size());
  activations_.resize(ids.size());
  Pass pass{ops_, activations_, ids, segments};
  forward(pass);
  model_.network.final_norm(ops_, activations_.x);
  return activations_.x;
}

void Workspace::exact_logits(size_t row, std::span<const int32_t> ids, std::span<float> out) {
  const Turn turn(model_, 1);
  model_.network.exact_logits(ops_, activations_.x.row(row), ids, out);  // normed by evaluate()
}

void Workspace::forward(Pass& pass) {
  model_.network.forward(pass);
  if (broken_at_ == Pass::kNowhere) broken_at_ = pass.broken_at;
}

Result<void> Workspace::check_finite(std::span<const float> values, int64_t position) const {
  NIBBLE_TRY_VOID(model_.file.check_read());
  if (all_finite(values)) return {};
  std::string where = "the output head";
  if (broken_at_ == Pass::kEmbedding) where = "the token's embedding (token_embd)";
  if (broken_at_ >= 0) where = concat("layer ", broken_at_, " (blk.", broken_at_, ")");
  return Error{
      ErrorCode::kData,
      concat(model_.file.path(), ": the model's output is not finite at position ", position,
             "; this began in ", where, "; the file's weights are damaged, download it again")};
}

}  // namespace nibble
