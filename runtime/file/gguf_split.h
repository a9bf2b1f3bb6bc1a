// Models split over several files, NAME-00001-of-0000N.gguf. Read next: gguf.cpp.
#pragma once

#include <string>
#include <vector>

#include "nibble/result.h"
#include "runtime/file/gguf_part.h"

namespace nibble {

// Reads the other shards after `first`, which was read from `path`, and checks that they belong
// together; gives all of them in order. A file that is not split gives itself alone. Names of
// shards are made from `path`, never taken from a file. Errors: 66 names the missing shard; 65.
Result<std::vector<GgufPart>> read_gguf_shards(const std::string& path, GgufPart first);

}  // namespace nibble
