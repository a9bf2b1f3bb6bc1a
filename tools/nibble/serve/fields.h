// Reads the fields of a JSON request: each has a type and a range, and what is wrong is said with
// the field's name, the value and what is allowed. null counts as absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/prompt.h"
#include "tools/nibble/serve/api_error.h"

namespace nibble::cli {

// The body of a request: one JSON object (json_reader.h). Throws ApiError.
Json parse_body(std::string_view body);

class Fields {
 public:
  // `prefix` stands before the names in messages ("options.").
  explicit Fields(const Json& object, std::string prefix = {})
      : object_(object), prefix_(std::move(prefix)) {}

  const Json* find(const std::string& name) const;
  std::optional<double> real(const std::string& name, double low, double high) const;
  std::optional<int64_t> whole(const std::string& name, int64_t low, int64_t high) const;
  std::optional<bool> flag(const std::string& name) const;
  std::optional<std::string> text(const std::string& name) const;
  // A text, or a list of at most `most` of them.
  std::vector<std::string> texts(const std::string& name, size_t most) const;
  // An object; null if absent.
  const Json* object(const std::string& name) const;

  [[noreturn]] void wrong(const std::string& name, const std::string& allowed) const;

 private:
  const Json& object_;
  std::string prefix_;
};

// The fields about sampling that the APIs share, over what the model recommends: temperature,
// top_p, top_k, min_p, repeat_penalty, presence_penalty, frequency_penalty, seed. Without a seed
// each answer has a new one.
SamplingOptions read_sampling(const Fields& fields, const Model& model, int64_t context);

// [{"role", "content"}]: content is a text, or a list of parts of type text. An assistant may have
// "tool_calls", whose arguments are an object, or JSON of one in a text.
std::vector<ChatMessage> read_messages(const Fields& fields, const std::string& name);

}  // namespace nibble::cli
