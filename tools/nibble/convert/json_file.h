// JSON from strangers: files read whole, checked before they are parsed, and their values taken out
// with errors that name file and key. Read next: hf_config.cpp.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "nibble/result.h"

namespace nibble::cli {

using Json = nlohmann::json;

// Parses a JSON object. Error 65, which starts with `where` (a file's name): not JSON, nested more
// than 64 deep, a name twice in one object, something else than an object.
Result<Json> parse_json_object(std::string_view text, const std::string& where);

// The same for a file. Errors: 66 it is missing; 65 more than `bytes_max` or as above.
Result<Json> read_json_object(const std::string& path, uint64_t bytes_max);

// The values of an object of a file. A value that is null counts as missing, as everywhere in
// these files. Errors are 65.
class JsonObject {
 public:
  // `object` must outlive this; `prefix` is how messages call what is inside ("text_config.").
  JsonObject(std::string path, const Json& object, std::string prefix = {})
      : path_(std::move(path)), prefix_(std::move(prefix)), object_(&object) {}

  // Null when missing.
  const Json* find(const char* key) const;
  Result<uint64_t> whole(const char* key, uint64_t low, uint64_t high,
                         std::optional<uint64_t> fallback = {}) const;
  Result<double> real(const char* key, double low, double high,
                      std::optional<double> fallback = {}) const;
  Result<bool> truth(const char* key, bool fallback) const;
  Result<std::string> text(const char* key, std::optional<std::string> fallback = {}) const;
  // Nothing when missing.
  Result<std::optional<JsonObject>> object(const char* key) const;
  // Null when missing.
  Result<const Json*> array(const char* key) const;

  // Error 65: "FILE: key 'KEY': WHAT".
  Error error(const char* key, std::string_view what) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_, prefix_;
  const Json* object_;
};

}  // namespace nibble::cli
