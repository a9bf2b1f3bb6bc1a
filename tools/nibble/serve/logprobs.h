// Log-probabilities of tokens in OpenAI's two forms.
#pragma once

#include <span>

#include "nibble/nibble.h"
#include "tools/nibble/serve/api_error.h"

namespace nibble::cli {

// {"content": [{"token", "logprob", "bytes", "top_logprobs": [...]}], "refusal": null}
Json chat_logprobs(const Model& model, std::span<const Step> steps);

// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; offsets count bytes from `offset`,
// which moves on.
Json completion_logprobs(const Model& model, std::span<const Step> steps, size_t* offset);

}  // namespace nibble::cli
