// The merging that both families of tokenizers are made of: again and again, the best pair of
// neighbours becomes one, the leftmost first among equals. n log n in the length of a word.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/text/merge_queue.h"

namespace nibble {

// What two neighbours become; id -1: they do not merge. The smallest priority is merged first.
struct MergedPair {
  uint32_t priority = 0;
  int32_t id = -1;
};

// A part of a word, at its own offset in it.
struct MergeSymbol {
  uint32_t length = 0;    // bytes; 0: no symbol begins here (any more)
  uint32_t previous = 0;  // offset of the symbol before
  int32_t id = -1;        // token; -1: none is known yet
};

// Holds the memory of one encode(), so that a word costs no allocation. For one thread.
class Merger {
 public:
  // Begins a word of `bytes` (below 2^31). Symbols are then added from left to right.
  void start(size_t bytes) {
    if (symbols_.size() < bytes) symbols_.resize(bytes);
    bytes_ = static_cast<uint32_t>(bytes);
    end_ = last_ = 0;
  }
  void add(uint32_t length, int32_t id) {
    symbols_[end_] = {length, last_, id};
    last_ = end_;
    end_ += length;
  }

  // `lookup(left, right, left_offset)` gives the MergedPair of two symbols.
  template <typename Lookup>
  void merge(const Lookup& lookup) {
    queue_.clear();
    for (uint32_t at = 0; at < bytes_; at += symbols_[at].length) consider(at, lookup);
    for (Candidate best; queue_.pop(&best);) {
      const uint32_t at = static_cast<uint32_t>(best.order);
      if (!is_current(at, best.length)) continue;
      symbols_[at + symbols_[at].length].length = 0;
      symbols_[at].length = best.length;
      symbols_[at].id = best.id;
      if (at > 0) consider(symbols_[at].previous, lookup);
      if (at + best.length == bytes_) continue;
      symbols_[at + best.length].previous = at;
      consider(at, lookup);
    }
  }

  // Calls `use(offset, symbol)` for what is left, from left to right.
  template <typename Use>
  void each(const Use& use) const {
    for (uint32_t at = 0; at < bytes_; at += symbols_[at].length) use(at, symbols_[at]);
  }

 private:
  struct Candidate {
    uint64_t order = 0;   // priority << 32 | offset of the left symbol
    uint32_t length = 0;  // of both together, when it was found
    int32_t id = -1;
    bool operator>(const Candidate& other) const { return order > other.order; }
  };

  // Both symbols are as they were: they only ever grow or vanish.
  bool is_current(uint32_t at, uint32_t length) const {
    const uint32_t right = at + symbols_[at].length;
    return right > at && right < bytes_ && symbols_[at].length + symbols_[right].length == length;
  }

  template <typename Lookup>
  void consider(uint32_t at, const Lookup& lookup) {
    const MergeSymbol& left = symbols_[at];
    if (at + left.length >= bytes_) return;
    const MergeSymbol& right = symbols_[at + left.length];
    const MergedPair pair = lookup(left, right, at);
    if (pair.id < 0) return;
    queue_.push(
        {static_cast<uint64_t>(pair.priority) << 32 | at, left.length + right.length, pair.id});
  }

  std::vector<MergeSymbol> symbols_;  // by offset in the word
  MergeQueue<Candidate> queue_;
  uint32_t bytes_ = 0;
  uint32_t end_ = 0;   // where the next symbol is added
  uint32_t last_ = 0;  // where the last one was
};

// Remembers the tokens of words met before in one text: most words of a text are. For one thread.
class WordCache {
 public:
  // For a text of `bytes`: a short one is not worth the clearing of a large table.
  explicit WordCache(size_t bytes) : entries_(std::clamp<size_t>(bytes / 8, 1, 4096)) {}

  // Appends the tokens of `word` to `out`, from what is known or by `encode()`, which appends them.
  // `word` must stay where it is, and `out` only grow.
  template <typename Encode>
  void append(std::string_view word, uint64_t hash, std::vector<int32_t>* out,
              const Encode& encode) {
    Entry& entry = entries_[hash % entries_.size()];
    const size_t begin = out->size();
    if (entry.word == word && !word.empty()) {
      out->resize(begin + entry.count);
      std::copy_n(out->begin() + static_cast<ptrdiff_t>(entry.begin), entry.count,
                  out->begin() + static_cast<ptrdiff_t>(begin));
      return;
    }
    encode();
    entry = {word, begin, out->size() - begin};
  }

 private:
  struct Entry {
    std::string_view word;
    size_t begin = 0;  // of its tokens in the output
    size_t count = 0;
  };
  std::vector<Entry> entries_;
};

}  // namespace nibble
