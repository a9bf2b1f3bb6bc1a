// What a person may write for a model that is not a path: an alias ("gemma3:1b"), a file of a hub
// ("hf:OWNER/REPO:Q4_0", "hf:OWNER/REPO/FILE.gguf") or an address ("https://.../FILE.gguf").
// Nothing here looks at a disk or a network. Read next: resolve.h (which file a name is), pull.h
// (getting it).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/result.h"

namespace nibble::hub {

inline constexpr std::string_view kHubHome = "https://huggingface.co";

// A short name for one file of the hub.
struct Alias {
  std::string_view name;
  std::string_view repository;
  std::string_view file;
  uint64_t bytes;  // where known, else 0
};
std::span<const Alias> aliases();
std::vector<std::string> alias_names();

// A file of a hub, or a choice among a repository's.
struct HubName {
  std::string repository;  // "OWNER/REPO"
  std::string file;        // empty: by type
  std::string type;        // "Q4_0"; empty: the best of those there are
  // "hf:OWNER/REPO/FILE"
  std::string text() const;
};

struct ModelName {
  enum class Kind { kOther, kHub, kUrl };  // kOther: a path, or what a store calls its files
  Kind kind = Kind::kOther;
  std::string text;  // as written
  HubName hub;       // for kHub
};

// Errors (64): hf: with something that is no repository or file, an address that is no GGUF file's.
Result<ModelName> parse_model_name(const std::string& text);

// The alias of this file of the hub, or "hf:OWNER/REPO/FILE".
std::string shown_name(const HubName& name);

// "gemma-3-1b-it-q4_0.gguf" -> "Q4_0", "x-UD-Q4_K_XL-00001-of-00002.gguf" -> "UD-Q4_K_XL"; empty
// where the name does not tell.
std::string type_of(std::string_view file);

// The shards of a split file by their names: "x-00002-of-00003.gguf" is 2 of 3.
struct Shard {
  std::string base;  // "x"
  uint32_t number = 1;
  uint32_t count = 1;
};
std::optional<Shard> shard_of(std::string_view file);
// All names of the model that begins with `first`; itself alone where it is not split.
std::vector<std::string> shard_names(const std::string& first);

// A relative path that stays below where it is put, in characters that a person can read: no empty
// part, no "." or "..", nothing that begins with '.', no control characters, no backslash.
bool is_safe_path(std::string_view path);

std::string lower(std::string_view text);

}  // namespace nibble::hub
