// The store: a plain folder of models that a person can read, copy and sort by hand.
//
//   models/hf/OWNER/REPO/FILE.gguf     from a hub
//   models/url/HOST/PATH/FILE.gguf     from elsewhere
//   models/NAME.gguf                   imported, or just put there
//
// Beside a file that was downloaded or imported lies FILE.gguf.json with where it is from and its
// SHA-256; FILE.gguf.part and FILE.gguf.part.json are a download to be continued. A file that is
// there is whole: it got its name last. Read next: resolve.h, import.h, pull.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/hub/model_name.h"

namespace nibble::hub {

// What is known of a stored file.
struct Record {
  std::string from;    // "hf:OWNER/REPO/FILE", an address, or a path
  std::string commit;  // of the hub's repository
  std::string etag;
  std::string sha256;
  std::string time;  // UTC, "2026-11-29T20:15:00Z"
  uint64_t bytes = 0;
};

// A model that can be used without a download.
struct KnownModel {
  std::string name;    // a MODEL for every command
  std::string path;    // of its first file
  uint64_t bytes = 0;  // of all its files
  std::string type;    // "Q4_0", where its name tells
  std::string keeper;  // "nibble", "Ollama", "llama.cpp", "Hugging Face"
};

class Store {
 public:
  explicit Store(std::string root) : root_(std::move(root)) {}

  // The folder of the models, which need not exist. Error 73 where there is no place for it.
  Result<std::string> folder() const;
  // Where a file of that name is kept, or will be. Error 73, 64 (an address that makes no path).
  Result<std::string> place(const HubName& name) const;  // its `file` is set
  Result<std::string> place_of_url(const std::string& url) const;
  Result<std::string> place_of_import(const std::string& name) const;

  // All models in order of name. What cannot be read is left out.
  std::vector<KnownModel> list() const;
  // The model that a person calls so: an alias, hf:... (a type too), an address, an imported name.
  std::optional<KnownModel> find(const ModelName& name) const;
  // Removes all of its files, records and rests of downloads, and folders that are empty then.
  // Errors: 77, 74.
  Result<void> remove(const KnownModel& model) const;

 private:
  std::string root_;
};

// Of the record beside `path`; empty where there is none or it cannot be read.
Record read_record(const std::string& path);
// Errors: 73, 74, 77.
Result<void> write_record(const std::string& path, const Record& record);
std::string record_path(const std::string& path);

// Bytes of all files of the model that begins with `path`; 0 when one of them is missing.
uint64_t model_bytes(const std::string& path);

// Makes the folders above `path`. Errors: 73, 77, naming the variable that chooses another place.
Result<void> make_folders_for(const std::string& path);

// Makes a renamed file's name last, where the file system can.
void sync_folder_of(const std::string& path);

std::string utc_now();

}  // namespace nibble::hub
