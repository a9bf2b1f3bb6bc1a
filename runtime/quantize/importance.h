// How much each column of each matrix matters: the mean square of the activations that meet it,
// measured on some text. Read from llama.cpp's files, the GGUF form and the older one (.dat).
//
// GGUF: per matrix two F32 tensors, NAME.in_sum2 [k, experts] (sums of squares) and NAME.counts
// [1, experts] (rows summed). .dat: int32 entries, each {int32 length, name, int32 calls,
// int32 count, float sums[count]}, then optionally int32 chunks, int32 length, text.
// Source: llama.cpp 3f545be tools/imatrix, common/imatrix-loader. Read next: quantize_model.h.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"

namespace nibble {

class ImportanceMatrix {
 public:
  // Errors: 66 missing; 65 not such a file, cut, or a number that is negative or not finite.
  static Result<ImportanceMatrix> open(const std::string& path);

  // The columns' importances, for one expert after the other; null when unknown.
  const std::vector<float>* find(std::string_view tensor) const;

  const std::string& path() const { return path_; }
  size_t entries() const { return entries_.size(); }
  uint64_t chunks() const { return chunks_; }              // of text; 0: unknown
  const std::string& dataset() const { return dataset_; }  // may be empty

 private:
  friend class ImportanceReader;
  std::string path_;
  std::map<std::string, std::vector<float>, std::less<>> entries_;
  uint64_t chunks_ = 0;
  std::string dataset_;
};

}  // namespace nibble
