#include "tools/nibble/kv_memory.h"

#include <algorithm>

#include "runtime/kv_cache.h"
#include "runtime/model/architecture.h"

namespace nibble::cli {
namespace {

constexpr int64_t kBatch = 256;  // SessionOptions::batch
constexpr int64_t kContextMax = int64_t{1} << 30;

}  // namespace

std::vector<KvMemory> kv_memory_table(const GgufFile& file) {
  const auto hyperparameters = read_hyperparameters(file);
  if (!hyperparameters) return {};
  const ModelShape* shape = &hyperparameters->shape;
  const int64_t trained = std::min(shape->context, kContextMax);
  std::vector<KvMemory> table;
  const auto add = [&](int64_t context) {
    table.push_back({context, KvCache::bytes(shape->kv_shape(), context, kBatch, Format::kF16)});
  };
  for (int64_t context = 2048; context < trained; context *= 2) add(context);
  add(trained);
  return table;
}

}  // namespace nibble::cli
