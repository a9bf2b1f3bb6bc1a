// Which bytes of a file are there, and the note of it that a later process reads. Read next:
// download.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/result.h"

namespace nibble::hub {

struct Piece {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t done = 0;  // bytes from `begin` on
  bool whole() const { return begin + done == end; }
};

// A file that is partly there.
struct PartState {
  std::string url;
  std::string etag;    // or the time of its last change; empty where the server tells neither
  std::string sha256;  // expected; may be empty
  uint64_t bytes = 0;  // of the whole file; 0: not known yet
  std::vector<Piece> pieces;  // in order, without gaps, once `bytes` is known

  uint64_t done() const;
  uint64_t beginning() const;  // bytes that are there without a gap
  bool whole() const { return bytes > 0 && done() == bytes; }
};

// Pieces of `bytes_of_piece` of a file of that size.
std::vector<Piece> cut_into_pieces(uint64_t bytes, uint64_t bytes_of_piece);

// Nothing where there is no note, or one that does not make sense for a file of `file_bytes`.
std::optional<PartState> read_part_state(const std::string& path, uint64_t file_bytes);
// Replaces it in one step. Errors: 73, 74, 77.
Result<void> write_part_state(const std::string& path, const PartState& state);

}  // namespace nibble::hub
