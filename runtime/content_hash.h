// What a model's file contains, as a number of 64 bits: equal for copies of one file, and not for
// others, but by chance or malice.
//
// All of the file is read for it, once: the number is kept in a folder, beside what the system says
// of the file then (FileStamp). Read next: prefix_store.h.
#pragma once

#include <cstdint>
#include <string>

#include "nibble/result.h"
#include "runtime/file/gguf.h"

namespace nibble {

// `folder` (which exists) holds what was found before, one small file each. Error 74: the file
// could not be read, or is not what it was when it was opened.
Result<uint64_t> content_hash(const GgufFile& file, const std::string& folder);

}  // namespace nibble
