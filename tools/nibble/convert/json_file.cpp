#include "tools/nibble/convert/json_file.h"

#include <cmath>
#include <cstdio>
#include <functional>
#include <vector>

#include "runtime/file/concat.h"
#include "runtime/machine/memory.h"

namespace nibble::cli {
namespace {

constexpr int kDepthMax = 64;

// The byte where the text is nested too deeply, or nothing. Looks at brackets outside of strings.
std::optional<size_t> too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kDepthMax) return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return std::nullopt;
}

// Counts the names of each object while it is parsed: fewer in the result means one came twice.
class NameCounter {
 public:
  bool operator()(int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_.push_back({});
    if (event == Json::parse_event_t::key) {
      ++open_.back().names;
      open_.back().last = parsed.get_ref<const std::string&>();
    }
    if (event == Json::parse_event_t::object_end) {
      if (parsed.size() != open_.back().names && !repeated_) {
        repeated_ = open_.size() < 2 ? std::string() : open_[open_.size() - 2].last;
      }
      open_.pop_back();
    }
    return true;
  }
  // The name of the object that has a name twice; empty for the outermost.
  const std::optional<std::string>& repeated() const { return repeated_; }

 private:
  struct Open {
    size_t names = 0;
    std::string last;
  };
  std::vector<Open> open_;
  std::optional<std::string> repeated_;
};

}  // namespace

Result<Json> parse_json_object(std::string_view text, const std::string& where) {
  if (const std::optional<size_t> at = too_deep(text)) {
    return Error{ErrorCode::kData, concat(where, ": JSON nested more than ", kDepthMax,
                                          " deep at byte ", *at, "; the file is damaged")};
  }
  NameCounter counter;
  Json json;
  try {
    json = Json::parse(text, std::ref(counter));
  } catch (const Json::parse_error& error) {
    return Error{ErrorCode::kData, concat(where, ": is not JSON: error at byte ", error.byte,
                                          "; the file is damaged, download it again")};
  } catch (const Json::exception&) {  // a number that no double holds
    return Error{ErrorCode::kData, concat(where, ": holds a number that is out of range")};
  }
  if (!json.is_object()) {
    return Error{ErrorCode::kData, concat(where, ": is JSON, but not an object")};
  }
  if (counter.repeated()) {
    const std::string& name = *counter.repeated();
    return Error{ErrorCode::kData,
                 concat(where, ": ", name.empty() ? "it" : "object " + nibble::quoted(name),
                        " has a name twice; the file is damaged or was made to mislead")};
  }
  return json;
}

Result<Json> read_json_object(const std::string& path, uint64_t bytes_max) {
  NIBBLE_TRY(const Mapping mapping, Mapping::open(path));
  if (mapping.size() > bytes_max) {
    return Error{ErrorCode::kData, concat(path, ": has ", mapping.size(), " bytes, the limit is ",
                                          bytes_max, "; is it the right file?")};
  }
  return parse_json_object({reinterpret_cast<const char*>(mapping.data()), mapping.size()}, path);
}

const Json* JsonObject::find(const char* key) const {
  const auto at = object_->find(key);
  return at == object_->end() || at->is_null() ? nullptr : &*at;
}

Error JsonObject::error(const char* key, std::string_view what) const {
  return {ErrorCode::kData, concat(path_, ": key '", prefix_, key, "': ", what)};
}

Result<uint64_t> JsonObject::whole(const char* key, uint64_t low, uint64_t high,
                                   std::optional<uint64_t> fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback ? Result<uint64_t>(*fallback) : error(key, "is missing");
  const std::string range = concat(", must be a whole number from ", low, " to ", high);
  if (!value->is_number_unsigned())
    return error(key, concat("is ", nibble::quoted(value->dump()), range));
  const auto number = value->get<uint64_t>();
  if (number < low || number > high) return error(key, concat("is ", number, range));
  return number;
}

Result<double> JsonObject::real(const char* key, double low, double high,
                                std::optional<double> fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback ? Result<double>(*fallback) : error(key, "is missing");
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (number >= low && number <= high) return number;
  char range[80];
  std::snprintf(range, sizeof(range), ", must be a number from %g to %g", low, high);
  return error(key, concat("is ", nibble::quoted(value->dump()), range));
}

Result<bool> JsonObject::truth(const char* key, bool fallback) const {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) return error(key, "must be true or false");
  return value->get<bool>();
}

Result<std::string> JsonObject::text(const char* key, std::optional<std::string> fallback) const {
  const Json* value = find(key);
  if (value == nullptr) {
    return fallback ? Result<std::string>(*std::move(fallback)) : error(key, "is missing");
  }
  if (!value->is_string()) return error(key, "must be a string");
  return value->get<std::string>();
}

Result<std::optional<JsonObject>> JsonObject::object(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<JsonObject>();
  if (!value->is_object()) return error(key, "must be an object");
  return std::optional(JsonObject(path_, *value, concat(prefix_, key, ".")));
}

Result<const Json*> JsonObject::array(const char* key) const {
  const Json* value = find(key);
  if (value != nullptr && !value->is_array()) return error(key, "must be an array");
  return value;
}

}  // namespace nibble::cli
