// Measures importances: runs a model over text and sums the squares of what meets each column of
// each matrix of its layers. Read next: importance.h (reading them), ops.h (MatmulObserver).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/ops/ops.h"

namespace nibble {

// One thread at a time; uses the team of the model's engine.
class ImportanceCollector : private MatmulObserver {
 public:
  // `chunk`: most tokens of one run, 1 to the model's context. Errors: 71 no memory.
  static Result<std::unique_ptr<ImportanceCollector>> create(std::shared_ptr<Model> model,
                                                             size_t chunk);
  ~ImportanceCollector() override;

  // Adds a text of 1 to `chunk` tokens, which begins where the model's context begins.
  void add(std::span<const int32_t> ids);

  // Writes them in the form of llama.cpp's GGUF files; matrices in order of their names, `dataset`
  // is what the text is called. Errors: those of GgufWriter.
  Result<void> write(const std::string& path, const std::string& dataset) const;

  size_t matrices() const { return sums_.size(); }

 private:
  struct Run;
  struct Sums {
    std::vector<double> squares;  // a column each
    uint64_t rows = 0;
  };
  ImportanceCollector() = default;
  void see(const PackedMatrix& w, const Rows& x) override;

  std::unique_ptr<Run> run_;
  size_t chunk_ = 0;
  uint32_t chunks_ = 0;
  std::map<std::string, Sums> sums_;
};

}  // namespace nibble
