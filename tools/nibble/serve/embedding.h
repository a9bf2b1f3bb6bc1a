// Texts to vectors: the mean of the model's final hidden states, of length 1.
#pragma once

#include <string>
#include <vector>

#include "tools/nibble/serve/fields.h"
#include "tools/nibble/serve/service.h"

namespace nibble::cli {

class Api;
class Exchange;

struct Embeddings {
  std::vector<std::vector<float>> vectors;
  int64_t tokens = 0;
  double seconds = 0;
};

// Of the field `name`: a text, a list of texts, or of token ids, or of such lists. Not all of them
// if the client goes. Throws ApiError, and Elsewhere: it has a desk of its own.
Embeddings embed_texts(const Api& api, const Exchange& exchange, ModelService& service,
                       const Fields& fields, const std::string& name);

}  // namespace nibble::cli
