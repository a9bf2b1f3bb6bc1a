// A model's predictions of a text, on disk, for others to be compared with.
//
//   header  "nibblKL1", then u32 ctx, u32 vocabulary, u32 chunks, u32 bytes of the name,
//           u64 vocabulary_hash(), and the model's name
//   ids     i32 [chunks][ctx], as they were read
//   rows    one per prediction, in order:
//           f32 highest, f32 range, f32 nll of the token that came, i32 likeliest token,
//           u16 code[vocabulary]:  log p(i) = highest - range * (code[i] / 65535)^2
//
// Little-endian, nothing between. `range` is the row's own, so nothing is cut off at the unlikely
// end, and the square makes the codes finest where the probability is: within 40 nats, a token of
// 5 % is rounded by 0.0002 at most. Readers normalise a row again, so its rounding enters a
// divergence only as p * rounding * (log p - log q). Read next: examinee.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/atomic_file.h"
#include "runtime/judge/chunks.h"
#include "runtime/judge/scores.h"
#include "runtime/machine/memory.h"

namespace nibble {

struct ReferenceHeader {
  std::string model;  // what to call it, for people
  size_t vocabulary = 0;
  uint64_t vocabulary_hash = 0;
  Chunks chunks;
};

// Appears whole, by commit(), or not at all.
class ReferenceWriter {
 public:
  // Takes the whole space from the disk. Errors: 73, 77, 74.
  static Result<ReferenceWriter> create(const std::string& path, const ReferenceHeader& header);
  // Thread-safe for different rows. `logits` must be finite. Error 74.
  Result<void> write(size_t row, std::span<const float> logits, const Prediction& prediction) const;
  Result<void> commit() { return file_.commit(); }

 private:
  ReferenceWriter(AtomicFile file, uint64_t rows_at, size_t vocabulary)
      : file_(std::move(file)), rows_at_(rows_at), vocabulary_(vocabulary) {}

  AtomicFile file_;
  uint64_t rows_at_;  // byte offset
  size_t vocabulary_;
};

// Reads what a ReferenceWriter wrote, from a mapping. Thread-safe.
class ReferenceReader {
 public:
  // Errors: 66 and 77 as for any file; 65 for one that is no such file, or not a whole one.
  static Result<ReferenceReader> open(const std::string& path);

  const ReferenceHeader& header() const { return header_; }
  // Fills logits [vocabulary] with the row's log-probabilities. Error 65 for numbers that no
  // writer writes.
  Result<Prediction> read(size_t row, std::span<float> logits) const;
  // Lets go of the memory that holds the rows before `row`.
  void release_before(size_t row) const;

 private:
  Error damaged(size_t row) const;

  std::string path_;
  Mapping file_;
  ReferenceHeader header_;
  uint64_t rows_at_ = 0;
};

}  // namespace nibble
