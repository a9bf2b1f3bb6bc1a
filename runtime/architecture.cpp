#include "runtime/model/architecture.h"

#include <cmath>

namespace nibble {

#define NIBBLE_ARCHITECTURE(name) extern const Architecture k_architecture_##name;
#include "architectures.inc"
#undef NIBBLE_ARCHITECTURE

std::span<const Architecture* const> architectures() {
  static constexpr const Architecture* kAll[] = {
#define NIBBLE_ARCHITECTURE(name) &k_architecture_##name,
#include "architectures.inc"
#undef NIBBLE_ARCHITECTURE
  };
  return kAll;
}

size_t Activations::bytes(const ModelShape& shape, size_t m) {
  const size_t per_row = 2 * shape.embedding + 2 * shape.heads * shape.head_dim +
                         2 * shape.kv_heads * shape.head_dim + 2 * shape.feed_forward;
  return per_row * m * sizeof(float);
}

void Activations::bind(const ModelShape& shape, size_t m, float* memory) {
  auto take = [&](size_t cols) {
    Rows rows{memory, m, cols, cols};
    memory += m * cols;
    return rows;
  };
  x = take(shape.embedding);
  h = take(shape.embedding);
  q = take(shape.heads * shape.head_dim);
  att = take(shape.heads * shape.head_dim);
  k = take(shape.kv_heads * shape.head_dim);
  v = take(shape.kv_heads * shape.head_dim);
  gate = take(shape.feed_forward);
  up = take(shape.feed_forward);
  for (RopeTable* table : {&rope, &rope_local}) {
    table->cos.reserve(m * shape.head_dim / 2);
    table->sin.reserve(m * shape.head_dim / 2);
  }
}

void Activations::resize(size_t m) {
  for (Rows* rows : {&x, &h, &q, &att, &k, &v, &gate, &up}) rows->m = m;
}

Result<size_t> HyperReader::size(std::string_view key, uint64_t low, uint64_t high,
                                 std::optional<uint64_t> fallback) const {
  NIBBLE_TRY(const uint64_t value, file_.get_uint(name(key), fallback));
  if (value < low || value > high) {
    return Error{ErrorCode::kData, file_.path() + ": " + name(key) + " is " +
                                       std::to_string(value) + ", must be " + std::to_string(low) +
                                       " to " + std::to_string(high)};
  }
  return static_cast<size_t>(value);
}

Result<double> HyperReader::real(std::string_view key, double low, double high,
                                 std::optional<double> fallback) const {
  NIBBLE_TRY(const double value, file_.get_float(name(key), fallback));
  if (!std::isfinite(value) || value < low || value > high) {
    return Error{ErrorCode::kData, file_.path() + ": " + name(key) + " is " +
                                       std::to_string(value) + ", must be " + std::to_string(low) +
                                       " to " + std::to_string(high)};
  }
  return value;
}

Result<ModelShape> HyperReader::shape() const {
  ModelShape s;
  // The upper limits are far above any model that fits a machine, and keep products in 64 bits.
  NIBBLE_TRY(s.layers, size("block_count", 1, 1024));
  NIBBLE_TRY(s.embedding, size("embedding_length", 1, 1 << 20));
  NIBBLE_TRY(s.feed_forward, size("feed_forward_length", 1, 1 << 22));
  NIBBLE_TRY(s.heads, size("attention.head_count", 1, 1024));
  NIBBLE_TRY(s.kv_heads, size("attention.head_count_kv", 1, 1024, s.heads));
  if (s.heads % s.kv_heads != 0) {
    return Error{ErrorCode::kData, file_.path() + ": " + name("attention.head_count_kv") + " is " +
                                       std::to_string(s.kv_heads) + ", which does not divide the " +
                                       std::to_string(s.heads) + " heads of " +
                                       name("attention.head_count")};
  }
  if (!has("attention.key_length") && s.embedding % s.heads != 0) {
    return Error{ErrorCode::kData, file_.path() + ": " + name("attention.head_count") + " is " +
                                       std::to_string(s.heads) + ", which does not divide " +
                                       name("embedding_length") + " " +
                                       std::to_string(s.embedding)};
  }
  NIBBLE_TRY(s.head_dim, size("attention.key_length", 2, 1024, s.embedding / s.heads));
  NIBBLE_TRY(const size_t value_length, size("attention.value_length", 2, 1024, s.head_dim));
  if (value_length != s.head_dim || s.head_dim % 2 != 0) {
    return Error{ErrorCode::kData, file_.path() + ": " + name("attention.key_length") + " " +
                                       std::to_string(s.head_dim) + " and " +
                                       name("attention.value_length") + " " +
                                       std::to_string(value_length) + " must be equal and even"};
  }
  NIBBLE_TRY(const size_t context, size("context_length", 1, 1ull << 31));
  s.context = static_cast<int64_t>(context);
  const GgufTensor* embedding = file_.tensor("token_embd.weight");
  if (embedding == nullptr || embedding->dims.size() != 2) {
    return Error{ErrorCode::kData, file_.path() + ": tensor token_embd.weight [" +
                                       std::to_string(s.embedding) +
                                       ", vocabulary] is missing; a vocabulary-only or split file "
                                       "cannot answer"};
  }
  s.vocabulary = embedding->dims[1];
  s.windows.assign(s.layers, 0);
  return s;
}

void Network::apply_head(Ops& ops, Rows x, Rows out, size_t top) const {
  if (top > 0 && head_.has_screen()) {
    ops.screened_head(head_, x, top, out);
  } else {
    ops.matmul(x, {{&head_.exact, out}});
  }
}

std::string layer_tensor(size_t layer, std::string_view name) {
  return "blk." + std::to_string(layer) + "." + std::string(name) + ".weight";
}

Result<void> load_embedding_and_head(WeightLoader& loader, const ModelShape& shape,
                                     RowTable* embedding, OutputHead* head) {
  NIBBLE_TRY_VOID(loader.table("token_embd.weight", shape.vocabulary, shape.embedding, embedding));
  const char* name = loader.has("output.weight") ? "output.weight" : "token_embd.weight";
  return loader.matrix(name, shape.vocabulary, shape.embedding, &head->exact);
}

}  // namespace nibble
