// JSON as it comes from clients, read in time that is linear in its size.
//
// The library's own parser looks for each field of an ordered object among all before it: an object
// of a million fields would take hours. Here fields are appended, and what stands twice is refused
// at the end of the object. Read next: fields.h.
#pragma once

#include <string_view>

#include "tools/nibble/serve/api_error.h"

namespace nibble::cli {

inline constexpr int kJsonDepthMax = 64;
inline constexpr size_t kJsonFieldsMax = 10'000;  // of one object: they are looked up one by one

// `what` stands in messages ("the body"). Throws ApiError for what is no JSON in UTF-8, is nested
// more than kJsonDepthMax deep, or has an object with more than kJsonFieldsMax fields or with one
// of them twice.
Json read_json(std::string_view text, const char* what);

}  // namespace nibble::cli
