// Blocks of the prefix cache that outlive the program: a folder with a file for each, so that a
// system prompt is computed once and not at each start.
//
// A file holds the tokens of the conversation from its first on, which are compared, and the keys
// and values of the last NIBBLE_KEY_BLOCK of them. It is valid for one model (content_hash.h),
// version of this program and form of the cache; bits do not depend on threads or instruction sets,
// so neither does the file. Files are written by a thread of their own, whole or not at all; the
// least lately used go first. What is damaged or someone else's is left alone and computed anew.
// Several programs may share a folder. One thread may use a store. Read next: prefix_cache.h.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "nibble/result.h"
#include "runtime/kv_cache.h"

namespace nibble {

// What a block is valid for, as a number that any difference changes. `content`: content_hash() of
// the model's file; `variant`: what else keys and values depend on.
uint64_t prefix_identity(uint64_t content, const KvCache& cache, int64_t variant);

class PrefixStore {
 public:
  using Note = std::function<void(const std::string&)>;

  // Where it is missing. Errors: 73, 77.
  static Result<void> make_folder(const std::string& folder);
  // Of a folder that is there. `budget_bytes`: of all its files. `note` (or null) hears, on any
  // thread, of what is wrong with files.
  static std::unique_ptr<PrefixStore> open(const std::string& folder, uint64_t budget_bytes,
                                           uint64_t identity, Note note);
  ~PrefixStore();  // writes what waits

  // Whether load() may find it.
  bool has(std::span<const int32_t> tokens) const;
  // The state behind these tokens, NIBBLE_KEY_BLOCK or a multiple of them, from the first of the
  // conversation on. False if it is not there.
  bool load(std::span<const int32_t> tokens, std::span<uint8_t> state);

  // Keeps it, a little later; `owner` keeps `state` alive until then. Nothing where it is there, or
  // where too much waits.
  void save(std::vector<int32_t> tokens, std::span<const uint8_t> state,
            std::shared_ptr<const void> owner);

  // Until all that was given to save() is written.
  void flush();

 private:
  struct Waiting {
    std::string name;
    std::vector<int32_t> tokens;
    std::span<const uint8_t> state;
    std::shared_ptr<const void> owner;
  };

  PrefixStore(std::string folder, uint64_t budget, uint64_t identity, Note note)
      : folder_(std::move(folder)), budget_(budget), identity_(identity), note_(std::move(note)) {}
  std::string name_of(std::span<const int32_t> tokens) const;
  void run();
  Result<void> write(const Waiting& block) const;
  void make_room(uint64_t bytes) const;
  void tell(const std::string& text) const;

  const std::string folder_;
  const uint64_t budget_;
  const uint64_t identity_;
  const Note note_;
  std::set<std::string> names_;    // of files that are there, or will be; the user's thread alone
  std::set<std::string> refused_;  // told of and not asked for again

  std::mutex mutex_;
  std::condition_variable wake_;  // the thread, and flush()
  std::deque<Waiting> waiting_;
  bool writing_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace nibble
