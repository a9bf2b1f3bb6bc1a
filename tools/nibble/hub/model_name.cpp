#include "tools/nibble/hub/model_name.h"

#include <algorithm>
#include <cstdio>

#include "runtime/file/concat.h"

namespace nibble::hub {
namespace {

constexpr Alias kAliases[] = {
    // Google's weights trained for Q4_0. The 270M has no GGUF of Google's own.
    {"gemma3:270m", "ggml-org/gemma-3-270m-it-qat-GGUF", "gemma-3-270m-it-qat-Q4_0.gguf",
     241410624},
    {"gemma3:1b", "google/gemma-3-1b-it-qat-q4_0-gguf", "gemma-3-1b-it-q4_0.gguf", 1003541152},
    {"gemma3:4b", "google/gemma-3-4b-it-qat-q4_0-gguf", "gemma-3-4b-it-q4_0.gguf", 3155051328},
    {"llama3.2:1b", "bartowski/Llama-3.2-1B-Instruct-GGUF", "Llama-3.2-1B-Instruct-Q4_0.gguf", 0},
    {"llama3.2:3b", "bartowski/Llama-3.2-3B-Instruct-GGUF", "Llama-3.2-3B-Instruct-Q4_0.gguf", 0},
    {"qwen3:0.6b", "unsloth/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q4_0.gguf", 0},
    {"qwen3:1.7b", "unsloth/Qwen3-1.7B-GGUF", "Qwen3-1.7B-Q4_K_M.gguf", 0},
    {"qwen3:4b", "unsloth/Qwen3-4B-GGUF", "Qwen3-4B-Q4_0.gguf", 0},
    {"smollm2:135m", "bartowski/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct-Q4_K_M.gguf",
     105454432},
    {"smollm2:360m", "bartowski/SmolLM2-360M-Instruct-GGUF", "SmolLM2-360M-Instruct-Q4_K_M.gguf",
     270590880},
    {"smollm2:1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
     "smollm2-1.7b-instruct-q4_k_m.gguf", 1055609536},
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// One part of OWNER/REPO.
bool is_repository_word(std::string_view word) {
  if (word.empty() || word.size() > 96 || word[0] == '.' || word[0] == '-') return false;
  return std::all_of(word.begin(), word.end(),
                     [](char c) { return is_word(c) || c == '-' || c == '.'; });
}

bool is_type(std::string_view text) {
  if (!std::all_of(text.begin(), text.end(), is_word)) return false;
  const std::string word = lower(text);
  for (const char* exact : {"f16", "bf16", "f32", "mxfp4"}) {
    if (word == exact || word.starts_with(std::string(exact) + "_")) return true;
  }
  const size_t digit = word.find_first_of("0123456789");
  if (digit == std::string::npos) return false;
  const std::string letters = word.substr(0, digit);
  return letters == "q" || letters == "iq" || letters == "tq";
}

Error bad_hub_name(const std::string& text) {
  return {ErrorCode::kUsage,
          concat("'", text, "' is no name of a model; write hf:OWNER/REPO, hf:OWNER/REPO:Q4_0 or ",
                 "hf:OWNER/REPO/FILE.gguf")};
}

// `rest`: OWNER/REPO, OWNER/REPO:TYPE or OWNER/REPO/FILE
Result<HubName> parse_hub(const std::string& text, std::string_view rest) {
  HubName name;
  const size_t owner_end = rest.find('/');
  if (owner_end == std::string_view::npos) return bad_hub_name(text);
  const size_t repo_end = rest.find_first_of("/:", owner_end + 1);
  const std::string_view owner = rest.substr(0, owner_end);
  const std::string_view repo =
      rest.substr(owner_end + 1, repo_end == std::string_view::npos ? std::string_view::npos
                                                                    : repo_end - owner_end - 1);
  if (!is_repository_word(owner) || !is_repository_word(repo)) return bad_hub_name(text);
  name.repository = concat(owner, "/", repo);
  if (repo_end == std::string_view::npos) return name;
  const std::string_view last = rest.substr(repo_end + 1);
  if (rest[repo_end] == ':') {
    if (!is_type(last.starts_with("UD-") ? last.substr(3) : last)) return bad_hub_name(text);
    name.type = std::string(last);
    return name;
  }
  if (!is_safe_path(last) || !lower(last).ends_with(".gguf")) return bad_hub_name(text);
  name.file = std::string(last);
  return name;
}

// The address of a file's page or of the file itself, as people copy it from the browser.
std::optional<HubName> hub_page(std::string_view url) {
  if (!url.starts_with(kHubHome) || !url.substr(kHubHome.size()).starts_with("/")) return {};
  url.remove_prefix(kHubHome.size() + 1);
  url = url.substr(0, url.find_first_of("?#"));
  for (const std::string_view between : {"/resolve/main/", "/blob/main/"}) {
    const size_t at = url.find(between);
    if (at == std::string_view::npos) continue;
    auto name = parse_hub({}, concat(url.substr(0, at), "/", url.substr(at + between.size())));
    if (name && !name->file.empty()) return *name;
  }
  auto name = parse_hub({}, url);
  if (name && name->file.empty() && name->type.empty()) return *name;
  return {};
}

}  // namespace

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::span<const Alias> aliases() {
  return kAliases;
}

std::vector<std::string> alias_names() {
  std::vector<std::string> names;
  for (const Alias& alias : kAliases) names.emplace_back(alias.name);
  return names;
}

std::string HubName::text() const {
  return concat("hf:", repository, file.empty() ? (type.empty() ? "" : ":") : "/",
                file.empty() ? type : file);
}

Result<ModelName> parse_model_name(const std::string& text) {
  ModelName name;
  name.text = text;
  for (const Alias& alias : kAliases) {
    if (alias.name != lower(text)) continue;
    name.kind = ModelName::Kind::kHub;
    name.hub = {std::string(alias.repository), std::string(alias.file), {}};
    return name;
  }
  if (text.starts_with("hf:")) {
    name.kind = ModelName::Kind::kHub;
    NIBBLE_TRY(name.hub, parse_hub(text, std::string_view(text).substr(3)));
    return name;
  }
  if (!text.starts_with("http://") && !text.starts_with("https://")) return name;
  if (const auto page = hub_page(text)) {
    name.kind = ModelName::Kind::kHub;
    name.hub = *page;
    return name;
  }
  const std::string path = lower(text.substr(0, text.find_first_of("?#")));
  const bool clean =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (!clean || !path.ends_with(".gguf") || text.find('@') != std::string::npos) {
    return Error{ErrorCode::kUsage,
                 concat("'", text, "' is not the address of a GGUF file; it must end in .gguf and ",
                        "hold no blanks and no password")};
  }
  name.kind = ModelName::Kind::kUrl;
  return name;
}

std::string shown_name(const HubName& name) {
  for (const Alias& alias : kAliases) {
    if (alias.repository == name.repository && alias.file == name.file)
      return std::string(alias.name);
  }
  return name.text();
}

std::optional<Shard> shard_of(std::string_view file) {
  constexpr size_t kSuffix = sizeof("-00001-of-00002.gguf") - 1;
  if (file.size() <= kSuffix) return {};
  const std::string_view suffix = file.substr(file.size() - kSuffix);
  Shard shard;
  shard.base = std::string(file.substr(0, file.size() - kSuffix));
  for (size_t i = 0; i < kSuffix; ++i) {
    const char expected = "-00000-of-00000.gguf"[i];
    if (expected == '0' ? !is_digit(suffix[i]) : suffix[i] != expected) return {};
  }
  shard.number = static_cast<uint32_t>(std::stoul(std::string(suffix.substr(1, 5))));
  shard.count = static_cast<uint32_t>(std::stoul(std::string(suffix.substr(10, 5))));
  if (shard.number < 1 || shard.number > shard.count) return {};
  return shard;
}

std::vector<std::string> shard_names(const std::string& first) {
  const auto shard = shard_of(first);
  if (!shard || shard->number != 1) return {first};
  std::vector<std::string> names;
  for (uint32_t i = 1; i <= shard->count; ++i) {
    char suffix[48];
    std::snprintf(suffix, sizeof(suffix), "-%05u-of-%05u.gguf", i, shard->count);
    names.push_back(shard->base + suffix);
  }
  return names;
}

std::string type_of(std::string_view file) {
  file = file.substr(file.find_last_of('/') + 1);
  const auto shard = shard_of(file);
  std::string stem(shard ? std::string_view(shard->base) : file);
  if (!shard && lower(stem).ends_with(".gguf")) stem.resize(stem.size() - 5);
  for (size_t at = stem.find_first_of("-."); at != std::string::npos;
       at = stem.find_first_of("-.", at + 1)) {
    const std::string_view last = std::string_view(stem).substr(at + 1);
    if (!is_type(last)) continue;
    std::string type(last);
    for (char& c : type) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return (std::string_view(stem).substr(0, at).ends_with("-UD") ? "UD-" : "") + type;
  }
  return {};
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 512) return false;
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part.size() > 200 || part[0] == '.') return false;
    for (const char c : part) {
      if (static_cast<unsigned char>(c) < ' ' || c == '\x7f' || c == '\\') return false;
    }
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace nibble::hub
