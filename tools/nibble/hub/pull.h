// Gets a model by its name: chosen, planned, downloaded, checked, and only then put into the store.
//
// The one function behind `nibble pull`, behind a name where a MODEL stands, and for a server's
// /api/pull. Read next: hub_api.h, download.h, store.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/hub/hub_api.h"
#include "tools/nibble/hub/places.h"
#include "tools/nibble/hub/store.h"

namespace nibble::hub {

struct PullProgress {
  std::string file;    // its name, without folders
  std::string sha256;  // that it must have; empty: not known
  size_t number = 1;   // of the files of a split model
  size_t count = 1;
  uint64_t done = 0;       // of the whole model
  uint64_t total = 0;      // 0: not known
  uint64_t file_done = 0;  // of this file
  uint64_t file_total = 0;
  double bytes_per_s = 0;
};

// What is about to be downloaded.
struct PullPlan {
  std::string name;  // as the store will call it
  uint64_t bytes = 0;
  std::vector<Choice> choices;  // where the name left a choice: all, the chosen one first
  // A file of the model's length of which the beginning is there, so that its header can be read;
  // empty for a split model.
  std::string header;
};

struct PullOptions {
  Places places;
  std::string endpoint;
  std::string token;
  int connections = 4;
  int retries = 5;
  int stall_s = 30;
  std::chrono::milliseconds retry_delay{500};
  uint64_t piece_bytes = uint64_t{32} << 20;
  std::string sha256;  // that the file must have, for an address
  std::function<bool()> cancelled;
  std::function<void(const std::string&)> note;  // one sentence to a person
  // Before the most of it is downloaded; an error ends it. The part that came is kept.
  std::function<Result<void>(const PullPlan&)> approve;
  bool plan_only = false;  // ends after `approve`; gives a model whose path is PullPlan::header
};

// Places, HF_ENDPOINT, and the token of HF_TOKEN or of `hf auth login`.
PullOptions pull_options_from_environment();

struct Pulled {
  KnownModel model;
  bool was_here = false;
};

// Errors: those of read_repository() and download(); 64 a name that cannot be downloaded; 65 a file
// that is no model; 73, 74, 77, 130.
Result<Pulled> pull_model(const std::string& name, const PullOptions& options,
                          const std::function<void(const PullProgress&)>& progress);

// How to get it without this program: an address, and what to do with it.
std::string by_hand(const std::string& name, const std::string& endpoint);

}  // namespace nibble::hub
