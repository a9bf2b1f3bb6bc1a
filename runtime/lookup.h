// Prompt-lookup drafts (Saxena 2023): what followed the last three tokens the last time they were
// said is proposed as what follows now. The model evaluates a draft together with the token before
// it, in about the time of one, since the weights are read once; the sampler then chooses from each
// token's logits as it would have, so a wrong draft costs time and never changes the answer.
//
// Once found, a place is followed: an edited copy leaves it for a word and comes back a few tokens
// on, and is met there by its first common token. Drafts grow while they come true. After one that
// is wrong from its first token none is made for a while, twice as long each time: free text loses
// next to nothing. Read next: generate.cpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

class Lookup {
 public:
  // Tokens evaluated at once: more of them cost noticeably more than one.
  static constexpr size_t kMostRows = 8;

  // `tokens`: the most that will be accepted. All memory is allocated here.
  explicit Lookup(size_t tokens) : slots_(std::bit_ceil(std::max<size_t>(tokens, 2)), 0) {
    said_.reserve(tokens);
  }

  // The next token of the prompt or the answer.
  void accept(int32_t id) {
    follow(id);
    if (const size_t n = said_.size(); n >= kGram) slots_[slot()] = static_cast<uint32_t>(n);
    said_.push_back(id);
    if (strayed_ > 0) find();
    if (pause_ > 0) --pause_;
  }

  // Fills `out` with what may come next and returns how many tokens that is; often none. Where the
  // draft reaches the end of the text it goes on with itself: the text may be going in a circle.
  size_t draft(std::span<int32_t> out) const {
    if (pause_ > 0 || source_ == 0 || strayed_ > 0) return 0;
    const size_t count = std::min(out.size(), length_);
    const size_t circle = said_.size() - source_;
    for (size_t i = 0; i < count; ++i) out[i] = said_[source_ + i % circle];
    return count;
  }

  // How many of the drafted tokens came true.
  void judge(size_t drafted, size_t right) {
    if (drafted == 0) return;
    if (right == 0) {
      length_ = 1;
      misses_ = std::min(misses_ + 1, kMostMisses);
      pause_ = size_t{1} << misses_;
    } else {
      length_ = right == drafted ? std::min(2 * length_, kMostRows - 1) : right;
      misses_ = 0;
    }
  }

 private:
  static constexpr size_t kGram = 3;
  static constexpr size_t kMostMisses = 6;
  static constexpr size_t kNear = 12;  // tokens that an edit may leave out
  static constexpr size_t kStray = 3;  // tokens to be followed for one that may stray
  static constexpr size_t kMostFollowed = 48;

  // Goes on in what is being repeated: past `id`, if it is what comes there next or soon.
  void follow(int32_t id) {
    if (source_ == 0) return;
    if (strayed_ == 0 && said_[source_] == id) {
      ++source_;
      followed_ = std::min(followed_ + 1, kMostFollowed);
      return;
    }
    if (followed_ < kStray) {  // chance, or lost by now
      source_ = 0;
      strayed_ = 1;
      return;
    }
    followed_ -= kStray;
    ++strayed_;
    const size_t end = std::min(said_.size(), source_ + kNear);
    for (size_t i = source_; i < end; ++i) {
      if (said_[i] != id) continue;
      source_ = i + 1;
      strayed_ = 0;
      return;
    }
  }

  // Begins to follow what came after the last three tokens the last time, if they were said before.
  void find() {
    if (said_.size() < kGram) return;
    const size_t next = slots_[slot()];
    if (next == 0 || !std::equal(said_.end() - kGram, said_.end(), said_.begin() + at(next))) {
      return;
    }
    source_ = next;
    strayed_ = 0;
    followed_ = 0;
  }

  static std::ptrdiff_t at(size_t next) { return static_cast<std::ptrdiff_t>(next - kGram); }
  // Where the last three tokens' follower is kept: one place each, the latest wins.
  size_t slot() const {
    uint64_t hash = 0;
    for (size_t i = said_.size() - kGram; i < said_.size(); ++i) {
      hash = (hash ^ static_cast<uint32_t>(said_[i])) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 29;
    }
    return hash & (slots_.size() - 1);
  }

  std::vector<int32_t> said_;
  std::vector<uint32_t> slots_;  // index into said_ behind a trigram; 0: none
  size_t source_ = 0;            // what is being repeated goes on here; 0: nothing is
  size_t strayed_ = 1;           // tokens said since it was left
  size_t followed_ = 0;          // tokens, less those that strayed
  size_t length_ = 1;            // of the next draft
  size_t misses_ = 0;            // in a row
  size_t pause_ = 0;             // tokens until the next draft
};

}  // namespace nibble
