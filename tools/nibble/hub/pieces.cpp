#include "tools/nibble/hub/pieces.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/file/atomic_file.h"

namespace nibble::hub {
namespace {

using Json = nlohmann::ordered_json;

bool makes_sense(const PartState& state, uint64_t file_bytes) {
  if (state.bytes == 0 || state.bytes != file_bytes) return false;
  uint64_t at = 0;
  for (const Piece& piece : state.pieces) {
    if (piece.begin != at || piece.end <= piece.begin || piece.end > state.bytes) return false;
    if (piece.done > piece.end - piece.begin) return false;
    at = piece.end;
  }
  return at == state.bytes;
}

}  // namespace

uint64_t PartState::done() const {
  uint64_t sum = 0;
  for (const Piece& piece : pieces) sum += piece.done;
  return sum;
}

uint64_t PartState::beginning() const {
  uint64_t end = 0;
  for (const Piece& piece : pieces) {
    end = piece.begin + piece.done;
    if (!piece.whole()) break;
  }
  return end;
}

std::vector<Piece> cut_into_pieces(uint64_t bytes, uint64_t bytes_of_piece) {
  std::vector<Piece> pieces;
  for (uint64_t at = 0; at < bytes; at += bytes_of_piece) {
    pieces.push_back({at, at + std::min(bytes_of_piece, bytes - at), 0});
    if (bytes - at <= bytes_of_piece) break;
  }
  return pieces;
}

std::optional<PartState> read_part_state(const std::string& path, uint64_t file_bytes) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return {};
  const Json json = Json::parse(in, nullptr, false);
  if (!json.is_object()) return {};
  PartState state;
  try {
    state.url = json.at("url").get<std::string>();
    state.etag = json.at("etag").get<std::string>();
    state.sha256 = json.at("sha256").get<std::string>();
    state.bytes = json.at("bytes").get<uint64_t>();
    for (const Json& piece : json.at("pieces")) {
      state.pieces.push_back(
          {piece.at(0).get<uint64_t>(), piece.at(1).get<uint64_t>(), piece.at(2).get<uint64_t>()});
    }
  } catch (const Json::exception&) {
    return {};
  }
  if (!makes_sense(state, file_bytes)) return {};
  return state;
}

Result<void> write_part_state(const std::string& path, const PartState& state) {
  Json json = {{"url", state.url},
               {"etag", state.etag},
               {"sha256", state.sha256},
               {"bytes", state.bytes},
               {"pieces", Json::array()}};
  for (const Piece& piece : state.pieces) {
    json["pieces"].push_back({piece.begin, piece.end, piece.done});
  }
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  NIBBLE_TRY(AtomicFile file, AtomicFile::create(path));
  NIBBLE_TRY_VOID(file.write(0, text.data(), text.size()));
  return file.commit();
}

}  // namespace nibble::hub
