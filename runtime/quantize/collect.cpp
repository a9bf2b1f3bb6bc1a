#include "runtime/quantize/collect.h"

#include <algorithm>
#include <utility>

#include "runtime/file/check.h"
#include "runtime/file/gguf_writer.h"
#include "runtime/workspace.h"

namespace nibble {

// What a run over the layers needs, as in a session, but without logits: the head is not computed.
struct ImportanceCollector::Run {
  std::shared_ptr<Model> model;
  KvCache cache;
  std::unique_ptr<Workspace> workspace;
};

Result<std::unique_ptr<ImportanceCollector>> ImportanceCollector::create(
    std::shared_ptr<Model> model, size_t chunk) {
  const ModelShape& shape = model->impl().network.shape();
  const auto context = static_cast<int64_t>(chunk);
  NIBBLE_TRY(KvCache cache, KvCache::create(shape.kv_shape(), context, context, Format::kF16));
  const size_t depth =
      std::max({shape.embedding, shape.heads * shape.head_dim, shape.feed_forward});
  NIBBLE_TRY(
      auto workspace,
      Workspace::create(model->impl(), {chunk, depth, shape.heads, shape.head_dim, chunk}, 0));
  std::unique_ptr<ImportanceCollector> collector(new ImportanceCollector);
  collector->chunk_ = chunk;
  collector->run_ =
      std::make_unique<Run>(Run{std::move(model), std::move(cache), std::move(workspace)});
  collector->run_->workspace->set_observer(collector.get());
  return collector;
}

ImportanceCollector::~ImportanceCollector() = default;

void ImportanceCollector::add(std::span<const int32_t> ids) {
  NIBBLE_CHECK(!ids.empty() && ids.size() <= chunk_);
  Run& run = *run_;
  // All tokens are wanted, else the last layer would skip those that no logits depend on.
  const Segment all{&run.cache, 0, ids.size(), ids.size()};
  run.workspace->evaluate(ids, {&all, 1}, {}, 0);
  ++chunks_;
}

void ImportanceCollector::see(const PackedMatrix& w, const Rows& x) {
  if (w.source_row != 0) return;  // one tensor, one input: counted with its first rows
  Sums& sums = sums_[w.source->name];
  sums.squares.resize(x.cols);
  for (size_t t = 0; t < x.m; ++t) {
    const float* row = x.row(t);
    for (size_t i = 0; i < x.cols; ++i) sums.squares[i] += static_cast<double>(row[i]) * row[i];
  }
  sums.rows += x.m;
}

Result<void> ImportanceCollector::write(const std::string& path, const std::string& dataset) const {
  GgufWriter writer;
  writer.add_string("general.type", "imatrix");
  const std::vector<std::string> datasets = {dataset};
  writer.add_strings("imatrix.datasets", datasets);
  writer.add_uint32("imatrix.chunk_count", chunks_);
  writer.add_uint32("imatrix.chunk_size", static_cast<uint32_t>(chunk_));
  for (const auto& [name, sums] : sums_) {
    writer.add_tensor(name + ".in_sum2", Format::kF32, {sums.squares.size(), 1});
    writer.add_tensor(name + ".counts", Format::kF32, {1, 1});
  }
  NIBBLE_TRY_VOID(writer.create(path));
  size_t tensor = 0;
  for (const auto& [name, sums] : sums_) {
    const std::vector<float> squares(sums.squares.begin(), sums.squares.end());
    NIBBLE_TRY_VOID(writer.write(tensor++, 0, squares.data(), squares.size() * sizeof(float)));
    const auto rows = static_cast<float>(sums.rows);
    NIBBLE_TRY_VOID(writer.write(tensor++, 0, &rows, sizeof(rows)));
  }
  return writer.commit();
}

}  // namespace nibble
