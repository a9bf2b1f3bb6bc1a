// JSON as values of a template: the tools that a model may call, and the calls that it made.
#pragma once

#include <string_view>

#include "nibble/result.h"
#include "runtime/text/jinja_value.h"

namespace nibble::jinja {

// `json` as serialisers write it: UTF-8, and nothing escaped that need not be. (So whoever shields
// a JSON text has shielded its strings: an escape cannot hide a control token.) Error 64
// with the byte.
Result<Value> read_json(Heap& heap, std::string_view json);

}  // namespace nibble::jinja
