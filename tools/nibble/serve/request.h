// The fields that requests for answers have in common, in OpenAI's APIs. Read next: fields.h.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "tools/nibble/serve/api.h"
#include "tools/nibble/serve/fields.h"

namespace nibble::cli {

inline constexpr int64_t kAnswerTokensMax = 1'000'000'000;

// model, max_tokens, stop, n and sampling; the prompts are for the caller. Throws ApiError, also
// for what is not offered here and would change the answer.
GenerationRequest read_generation(const Api& api, const Exchange& exchange, const Fields& fields);

// Fields that would change the answer and are not built. Empty ones pass. Throws ApiError.
void refuse_unoffered(const Fields& fields, std::initializer_list<const char*> names);

struct StreamChoice {
  bool streams;
  bool usage;  // at the end
};
StreamChoice read_stream(const Fields& fields);

// A list of at most `most` ids of the model's vocabulary.
std::vector<int32_t> read_tokens(const Json& list, const Model& model, size_t most,
                                 const std::string& name);

}  // namespace nibble::cli
