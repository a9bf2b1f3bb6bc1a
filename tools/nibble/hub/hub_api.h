// What a hub tells of a repository (Hugging Face's API), and which of its files a name means. Read
// next: pull.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/hub/model_name.h"
#include "tools/nibble/hub/transfer.h"

namespace nibble::hub {

struct HubFile {
  std::string path;
  uint64_t bytes = 0;
  std::string sha256;  // empty where the hub does not tell
};

struct Repository {
  std::string name;
  std::string commit;
  std::vector<HubFile> files;  // GGUF files with names that can be ours
};

struct HubAccess {
  std::string endpoint;  // "https://huggingface.co"
  bool has_token = false;
  int retries = 5;
  std::chrono::milliseconds retry_delay{500};
  std::function<bool()> cancelled;
};

// Errors: 66 no such repository, 77 not open to everybody, 69 the hub cannot be reached or says
// what is no list of files; each with what to do.
Result<Repository> read_repository(Transfers& transfers, const HubAccess& access,
                                   const std::string& repository);

// A model of a repository that could be meant: its first file and the bytes of all of them.
struct Choice {
  std::string file;
  std::string type;
  uint64_t bytes = 0;
};
// All models of it, the preferred first: Q4_0, for which nibble is fastest, then Q4_K_M, Q8_0 and
// so on.
std::vector<Choice> choices(const Repository& repository);
// The file that `name` means. Errors (66) tell what there is.
Result<std::string> choose_file(const Repository& repository, const HubName& name);

// Where a file of that commit is.
std::string file_url(const HubAccess& access, const Repository& repository,
                     const std::string& file);

// What an answer other than what was asked for means. `what` was asked for: "hf:a/b".
Error explain_answer(const HubAccess& access, const std::string& repository,
                     const std::string& what, const Finished& finished);

}  // namespace nibble::hub
