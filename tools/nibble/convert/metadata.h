// GGUF metadata in the making.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/file/gguf.h"

namespace nibble::cli {

struct Metadata {
  std::vector<std::pair<std::string, GgufValue>> entries;

  void add_uint32(std::string key, uint64_t value) {
    entries.push_back({std::move(key), {GgufType::kUint32, value}});
  }
  void add_float32(std::string key, double value) {
    entries.push_back({std::move(key), {GgufType::kFloat32, value}});
  }
  void add_bool(std::string key, bool value) {
    entries.push_back({std::move(key), {GgufType::kBool, value}});
  }
  void add_string(std::string key, std::string value) {
    entries.push_back({std::move(key), {GgufType::kString, std::move(value)}});
  }
  void add_array(std::string key, GgufArray value) {
    entries.push_back({std::move(key), {GgufType::kArray, std::move(value)}});
  }
};

}  // namespace nibble::cli
