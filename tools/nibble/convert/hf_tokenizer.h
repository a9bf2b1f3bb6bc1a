// The tokenizer of a Hugging Face directory as GGUF metadata: tokenizer.json's BPE, byte-level
// (Llama 3, Qwen, SmolLM) or SentencePiece-like with bytes to fall back on (Gemma, Llama 2).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/convert/json_file.h"
#include "tools/nibble/convert/metadata.h"

namespace nibble::cli {

// Adds the keys tokenizer.*. `config` is config.json's object, `vocabulary` the rows of the
// embedding: ids that no token has get one that is unused. Errors: 66 no tokenizer.json; 65 a
// tokenizer of another kind, or one that is not what it should be.
Result<void> convert_tokenizer(const std::string& folder, const JsonObject& config,
                               uint64_t vocabulary, Metadata* metadata,
                               std::vector<std::string>* notes);

}  // namespace nibble::cli
