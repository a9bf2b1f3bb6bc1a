// What the smaller files of a Hugging Face directory say of talking: special tokens, the chat
// template, sampling. Read next: hf_tokenizer.cpp.
#pragma once

#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/convert/json_file.h"
#include "tools/nibble/convert/metadata.h"

namespace nibble::cli {

struct ConvertedTokens {
  std::vector<std::string> texts;  // by id
  bool adds_bos = false;           // by tokenizer.json
};

// Adds the ids of BOS, EOS and padding, whether BOS is added, the chat template, and the sampling
// that the model is recommended with. Every file but config.json may be missing. Errors 65.
Result<void> convert_chat(const std::string& folder, const JsonObject& config,
                          const ConvertedTokens& tokens, Metadata* metadata);

}  // namespace nibble::cli
