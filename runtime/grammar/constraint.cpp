#include "runtime/grammar/constraint.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace nibble {

TokenOrder::TokenOrder(const Tokenizer& tokenizer) {
  ids_.reserve(tokenizer.vocabulary_size());
  for (size_t i = 0; i < tokenizer.vocabulary_size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (!tokenizer.piece(id).empty()) ids_.push_back(id);
  }
  std::stable_sort(ids_.begin(), ids_.end(),
                   [&](int32_t a, int32_t b) { return tokenizer.piece(a) < tokenizer.piece(b); });
  shared_.resize(ids_.size());
  for (size_t i = 1; i < ids_.size(); ++i) {
    const std::string_view a = tokenizer.piece(ids_[i - 1]);
    const std::string_view b = tokenizer.piece(ids_[i]);
    const size_t most = std::min({a.size(), b.size(), size_t{255}});
    size_t count = 0;
    while (count < most && a[count] == b[count]) ++count;
    shared_[i] = static_cast<uint8_t>(count);
  }
}

size_t TokenOrder::skip(size_t i, size_t bytes) const {
  // Longer beginnings are not told apart: 255 may stand for more.
  const auto least = static_cast<uint8_t>(std::min<size_t>(bytes, 255));
  ++i;
  while (i < shared_.size() && shared_[i] >= least) ++i;
  return i;
}

Constraint::Constraint(std::shared_ptr<const Grammar> grammar, const Tokenizer& tokenizer,
                       const TokenOrder& order)
    : matcher_(std::move(grammar)),
      tokenizer_(tokenizer),
      order_(order),
      state_(matcher_.start()) {}

bool Constraint::allows(int32_t id) {
  if (tokenizer_.is_end(id)) return state_.end;
  const std::string_view text = tokenizer_.piece(id);
  if (text.empty() || !matcher_.allows(state_, static_cast<uint8_t>(text[0]))) return false;
  const Matcher::State* from = &state_;
  Matcher::State* into = &next_;
  Matcher::State* spare = &other_;
  for (const char byte : text) {
    matcher_.advance(*from, static_cast<uint8_t>(byte), into);
    if (into->dead()) return false;
    from = into;
    std::swap(into, spare);
  }
  return true;
}

void Constraint::all_allowed(std::vector<int32_t>* out) {
  out->clear();
  size_t depth = 0;  // bytes of the token before whose states are in path_
  for (size_t i = 0; i < order_.size();) {
    const int32_t id = order_.id(i);
    const std::string_view text = tokenizer_.piece(id);
    depth = std::min(depth, order_.shared(i));
    bool allowed = true;
    for (; depth < text.size(); ++depth) {
      if (path_.size() <= depth) path_.emplace_back();
      const Matcher::State& from = depth == 0 ? state_ : path_[depth - 1];
      matcher_.advance(from, static_cast<uint8_t>(text[depth]), &path_[depth]);
      if (path_[depth].dead()) {
        allowed = false;
        break;
      }
    }
    if (allowed) {
      if (!tokenizer_.is_end(id)) out->push_back(id);
      ++i;
    } else {
      i = order_.skip(i, depth + 1);
    }
  }
  if (state_.end) {
    out->insert(out->end(), tokenizer_.end_tokens().begin(), tokenizer_.end_tokens().end());
  }
  std::sort(out->begin(), out->end());
}

void Constraint::accept(int32_t id) {
  if (tokenizer_.is_end(id)) return;
  for (const char byte : tokenizer_.piece(id)) {
    matcher_.advance(state_, static_cast<uint8_t>(byte), &next_);
    std::swap(state_, next_);
  }
}

}  // namespace nibble
