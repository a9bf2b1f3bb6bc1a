#include "tools/nibble/convert/hf_chat.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "runtime/file/concat.h"
#include "runtime/machine/memory.h"

namespace nibble::cli {
namespace {

constexpr uint64_t kBytesMax = uint64_t{64} << 20;  // tokenizer_config.json lists added tokens
constexpr uint64_t kTemplateBytesMax = 1 << 20;

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// An object of a file that may be missing: then it is empty.
Result<Json> read_optional(const std::string& path) {
  return exists(path) ? read_json_object(path, kBytesMax) : Result<Json>(Json::object());
}

class ChatConverter {
 public:
  ChatConverter(const std::string& folder, const JsonObject& config, const ConvertedTokens& tokens,
                Metadata* metadata)
      : folder_(folder), config_(config), tokens_(tokens), metadata_(*metadata) {}

  Result<void> convert() {
    const std::string path = concat(folder_, "/tokenizer_config.json");
    NIBBLE_TRY(const Json json, read_optional(path));
    const JsonObject tokenizer(path, json);
    const std::string generation_path = concat(folder_, "/generation_config.json");
    NIBBLE_TRY(const Json generation_json, read_optional(generation_path));
    const JsonObject generation(generation_path, generation_json);

    NIBBLE_TRY_VOID(add_ids(tokenizer, generation));
    NIBBLE_TRY(const bool adds_bos, tokenizer.truth("add_bos_token", tokens_.adds_bos));
    NIBBLE_TRY(const bool adds_eos, tokenizer.truth("add_eos_token", false));
    metadata_.add_bool("tokenizer.ggml.add_bos_token", adds_bos);
    metadata_.add_bool("tokenizer.ggml.add_eos_token", adds_eos);
    NIBBLE_TRY_VOID(add_template(tokenizer));
    return add_sampling(generation);
  }

 private:
  // The id of "bos_token" and its like: a text, or an object with one. Nothing when missing.
  Result<std::optional<uint64_t>> named_id(const JsonObject& tokenizer, const char* key) const {
    const Json* value = tokenizer.find(key);
    if (value != nullptr && value->is_object()) {
      const auto content = value->find("content");
      value = content == value->end() ? nullptr : &*content;
    }
    if (value == nullptr) return std::optional<uint64_t>();
    if (!value->is_string()) return tokenizer.error(key, "must be a token's text");
    const auto& texts = tokens_.texts;
    const auto at = std::find(texts.begin(), texts.end(), value->get_ref<const std::string&>());
    if (at == texts.end()) {
      return tokenizer.error(key,
                             concat("is ", nibble::quoted(value->get_ref<const std::string&>()),
                                    ", which is no token of tokenizer.json"));
    }
    return std::optional<uint64_t>(at - texts.begin());
  }

  // "eos_token_id" and its like: an id or an array of them.
  Result<std::vector<uint64_t>> listed_ids(const JsonObject& object, const char* key) const {
    std::vector<uint64_t> ids;
    const Json* value = object.find(key);
    if (value == nullptr) return ids;
    const Json list = value->is_array() ? *value : Json::array({*value});
    for (const Json& id : list) {
      if (!id.is_number_unsigned() || id.get<uint64_t>() >= tokens_.texts.size()) {
        return object.error(key, concat("holds ", nibble::quoted(id.dump()), ", must be below the ",
                                        tokens_.texts.size(), " tokens"));
      }
      ids.push_back(id.get<uint64_t>());
    }
    return ids;
  }

  // The tokenizer's own, else the configuration's, else the generation's.
  Result<std::optional<uint64_t>> find_id(const JsonObject& tokenizer, const JsonObject& generation,
                                          const std::string& name) const {
    NIBBLE_TRY(std::optional<uint64_t> id, named_id(tokenizer, name.c_str()));
    for (const JsonObject* object : {&config_, &generation}) {
      NIBBLE_TRY(const std::vector<uint64_t> ids, listed_ids(*object, (name + "_id").c_str()));
      if (!id && !ids.empty()) id = ids[0];
    }
    return id;
  }

  Result<void> add_ids(const JsonObject& tokenizer, const JsonObject& generation) {
    std::optional<uint64_t> eos;
    for (const auto& [name, key] : {std::pair{"bos_token", "bos"}, std::pair{"eos_token", "eos"},
                                    std::pair{"pad_token", "padding"}}) {
      NIBBLE_TRY(const std::optional<uint64_t> id, find_id(tokenizer, generation, name));
      if (id) metadata_.add_uint32(concat("tokenizer.ggml.", key, "_token_id"), *id);
      if (std::string_view(key) == "eos") eos = id;
    }
    // Further tokens that end an answer: GGUF has two more names for them.
    NIBBLE_TRY(std::vector<uint64_t> ends, listed_ids(generation, "eos_token_id"));
    std::erase_if(ends, [&](uint64_t id) { return id == eos; });
    const char* const kNames[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < std::min(ends.size(), std::size(kNames)); ++i) {
      metadata_.add_uint32(kNames[i], ends[i]);
    }
    return {};
  }

  // A file of its own, an entry of tokenizer_config.json (one, or several by name), or the
  // processor's file.
  Result<void> add_template(const JsonObject& tokenizer) {
    const std::string file = concat(folder_, "/chat_template.jinja");
    std::string source;
    if (exists(file)) {
      NIBBLE_TRY(const Mapping mapping, Mapping::open(file));
      source.assign(reinterpret_cast<const char*>(mapping.data()), mapping.size());
    } else if (const Json* value = tokenizer.find("chat_template"); value != nullptr) {
      NIBBLE_TRY(source, template_text(tokenizer, *value));
    } else {
      const std::string path = concat(folder_, "/chat_template.json");
      NIBBLE_TRY(const Json json, read_optional(path));
      NIBBLE_TRY(source, JsonObject(path, json).text("chat_template", ""));
    }
    if (source.size() > kTemplateBytesMax) {
      return tokenizer.error("chat_template", concat("has ", source.size(), " bytes, the limit is ",
                                                     kTemplateBytesMax));
    }
    if (!source.empty()) metadata_.add_string("tokenizer.chat_template", std::move(source));
    return {};
  }

  Result<std::string> template_text(const JsonObject& tokenizer, const Json& value) const {
    if (value.is_string()) return value.get<std::string>();
    std::string found;
    if (value.is_array()) {
      for (const Json& entry : value) {
        if (!entry.is_object()) continue;
        const JsonObject named(tokenizer.path(), entry, "chat_template.");
        NIBBLE_TRY(const std::string name, named.text("name"));
        if (name != "default") continue;
        NIBBLE_TRY(found, named.text("template"));
      }
    }
    if (found.empty()) return tokenizer.error("chat_template", "has no template named default");
    return found;
  }

  Result<void> add_sampling(const JsonObject& generation) {
    NIBBLE_TRY(const bool sampled, generation.truth("do_sample", false));
    if (!sampled) return {};
    struct Setting {
      const char* from;
      const char* to;
      double most;
    };
    for (const Setting& s : {Setting{"temperature", "general.sampling.temp", 100},
                             Setting{"top_p", "general.sampling.top_p", 1},
                             Setting{"min_p", "general.sampling.min_p", 1}}) {
      NIBBLE_TRY(const double value, generation.real(s.from, 0, s.most, -1));
      if (value >= 0) metadata_.add_float32(s.to, value);
    }
    constexpr uint64_t kMissing = UINT64_MAX;
    NIBBLE_TRY(const uint64_t top_k, generation.whole("top_k", 0, 1 << 30, kMissing));
    if (top_k != kMissing) metadata_.add_uint32("general.sampling.top_k", top_k);
    return {};
  }

  const std::string& folder_;
  const JsonObject& config_;
  const ConvertedTokens& tokens_;
  Metadata& metadata_;
};

}  // namespace

Result<void> convert_chat(const std::string& folder, const JsonObject& config,
                          const ConvertedTokens& tokens, Metadata* metadata) {
  return ChatConverter(folder, config, tokens, metadata).convert();
}

}  // namespace nibble::cli
