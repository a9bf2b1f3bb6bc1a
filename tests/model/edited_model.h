// The built-in model, changed: what tests need that no file has.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "runtime/file/gguf_writer.h"

namespace nibble {

inline const char* const kModel = NIBBLE_SOURCE_DIR "/tools/models/stories-gemma3-qat-q4_0.gguf";

struct EditedTensor {
  std::string name;
  uint32_t type_id;
  std::vector<uint64_t> dims;
  std::vector<uint8_t> data;
};

struct EditedModel {
  std::vector<std::pair<std::string, GgufValue>> metadata;
  std::vector<EditedTensor> tensors;

  void set(const std::string& key, const GgufValue& value) {
    for (auto& [name, old] : metadata) {
      if (name == key) {
        old = value;
        return;
      }
    }
    metadata.emplace_back(key, value);
  }
  void set_uint(const std::string& key, uint64_t value) { set(key, {GgufType::kUint32, value}); }
  void set_float(const std::string& key, double value) { set(key, {GgufType::kFloat32, value}); }
  EditedTensor& tensor(const std::string& name) {
    for (EditedTensor& t : tensors) {
      if (t.name == name) return t;
    }
    ADD_FAILURE() << name;
    return tensors.front();
  }
};

inline EditedModel read_model() {
  EditedModel model;
  const auto file = GgufFile::open(kModel);
  EXPECT_TRUE(file) << file.error().message;
  model.metadata = file->metadata();
  for (const GgufTensor& t : file->tensors()) {
    model.tensors.push_back({t.name, t.type_id, t.dims, {t.data, t.data + t.bytes}});
  }
  return model;
}

inline void write_model(const EditedModel& model, const std::string& path) {
  GgufWriter writer;
  for (const auto& [key, value] : model.metadata) writer.add(key, value);
  std::vector<size_t> index;
  for (const EditedTensor& t : model.tensors) {
    index.push_back(writer.add_tensor(t.name, t.type_id, t.dims));
  }
  ASSERT_TRUE(writer.create(path));
  for (size_t i = 0; i < index.size(); ++i) {
    const auto& data = model.tensors[i].data;
    ASSERT_TRUE(writer.write(index[i], 0, data.data(), data.size()));
  }
  ASSERT_TRUE(writer.commit());
}

}  // namespace nibble
