// Downloads one file into FILE.part, in pieces, over several connections where the server gives
// parts; continued after a cut, also by another process.
//
// What is there of it stands in FILE.part.json. A part of another version of the file (ETag), a
// part that was not asked for and a page instead of a model are never mixed in; the SHA-256 is
// computed as the beginning grows. The name FILE is given by the caller. Read next: transfer.h,
// pull.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "nibble/result.h"
#include "tools/nibble/hub/transfer.h"

namespace nibble::hub {

struct DownloadSource {
  std::string url;
  uint64_t bytes = 0;  // 0: not known before
  std::string sha256;  // empty: not known before
};

struct DownloadOptions {
  int connections = 4;
  uint64_t piece_bytes = uint64_t{32} << 20;
  int retries = 5;                             // without a byte between them
  std::chrono::milliseconds retry_delay{500};  // doubled each time
  std::function<bool()> cancelled;
  std::function<void(uint64_t done, uint64_t total)> progress;  // total 0: not known
  // What an answer other than the file means.
  std::function<Error(const Finished&)> explain;
  // Called once when the first piece is there, before the others are asked for; the file has its
  // whole length by then, with holes. An error ends the download, which can be continued.
  std::function<Result<void>(const std::string& part)> on_first_piece;
  bool first_piece_only = false;
};

struct Downloaded {
  uint64_t bytes = 0;
  std::string sha256;  // empty when only the first piece was wanted
  std::string etag;
};

std::string part_path(const std::string& path);
// Forgets what there is of it.
void discard_part(const std::string& path);

// The file is then whole in part_path(path) and synchronised. Errors: 65 not what it should be; 69
// the server cannot be reached or does not deliver; 74 disk; 130; those of `explain`.
Result<Downloaded> download(Transfers& transfers, const DownloadSource& source,
                            const std::string& path, const DownloadOptions& options);

}  // namespace nibble::hub
