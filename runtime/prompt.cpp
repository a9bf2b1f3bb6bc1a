// Prompts of conversations, and texts as vectors. (A model for answers was not trained to give
// vectors: they tell texts apart, a model made for it does so better.)
#include "nibble/prompt.h"

#include <algorithm>
#include <cmath>

#include "runtime/memory_plan.h"
#include "runtime/workspace.h"

namespace nibble {
namespace {

// Tokens of a step: few, so that answers in progress on the same engine are not held up for long.
constexpr size_t kRows = 32;

}  // namespace

Result<std::vector<int32_t>> encode_chat(const Model& model, std::span<const ChatMessage> messages,
                                         std::string_view tools) {
  const Model::Impl& impl = model.impl();
  std::vector<ChatMessage> shielded(messages.begin(), messages.end());
  std::string text;
  for (ChatMessage& message : shielded) {
    message.content = impl.tokenizer->shield(message.content);
    message.tool_calls = impl.tokenizer->shield(message.tool_calls);
    text += (text.empty() ? "" : "\n\n") + message.content;
  }
  if (impl.has_template) {
    NIBBLE_TRY(text, impl.chat->render(shielded, /*add_generation_prompt=*/true, nullptr,
                                       impl.tokenizer->shield(tools)));
  }
  return impl.tokenizer->encode(text, {.add_bos = true, .parse_special = true});
}

Result<std::vector<float>> embed(const std::shared_ptr<Model>& model,
                                 std::span<const int32_t> ids) {
  if (ids.empty()) return Error{ErrorCode::kUsage, "there are no tokens to embed"};
  const auto unknown = std::find_if(
      ids.begin(), ids.end(), [&](int32_t id) { return id < 0 || id >= model->vocabulary_size(); });
  if (unknown != ids.end()) {
    return Error{ErrorCode::kUsage,
                 "token id " + std::to_string(*unknown) + " is outside the vocabulary"};
  }
  const ModelShape& shape = model->impl().network.shape();
  SessionOptions options;
  options.context = static_cast<int64_t>(ids.size());
  options.batch = kRows;
  NIBBLE_TRY(const SessionMemory sizes, session_memory(shape, options));
  NIBBLE_TRY(KvCache cache,
             KvCache::create(shape.kv_shape(), sizes.context, sizes.batch, sizes.kv_format));
  NIBBLE_TRY(auto workspace, Workspace::create(model->impl(), sizes.ops, 0));
  std::vector<double> sum(shape.embedding);
  for (size_t at = 0; at < ids.size(); at += kRows) {
    const size_t m = std::min(kRows, ids.size() - at);
    const Segment segment{&cache, static_cast<int64_t>(at), m, m};
    const Rows states = workspace->hidden(ids.subspan(at, m), {&segment, 1});
    for (size_t t = 0; t < m; ++t) {
      NIBBLE_TRY_VOID(
          workspace->check_finite({states.row(t), states.cols}, static_cast<int64_t>(at + t)));
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += states.row(t)[i];
    }
  }
  double squares = 0;
  for (const double value : sum) squares += value * value;
  const double scale = squares > 0 ? 1 / std::sqrt(squares) : 0;
  std::vector<float> out(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) out[i] = static_cast<float>(sum[i] * scale);
  return out;
}

}  // namespace nibble
