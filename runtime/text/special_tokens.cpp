#include "runtime/text/special_tokens.h"

#include <algorithm>

namespace nibble {
namespace {

constexpr char kMark = '\xFF';  // in no UTF-8 text

}  // namespace

SpecialTokens::SpecialTokens(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
  for (int32_t id = 0; static_cast<size_t>(id) < vocabulary.size(); ++id) {
    const TokenKind kind = vocabulary.kind(id);
    const std::string_view text = vocabulary.text(id);
    if (kind == TokenKind::kNormal || kind == TokenKind::kByte) continue;
    if (text.empty() || text.size() > kLongest) continue;
    // No text could be shielded from a control token that begins with the mark.
    if (kind != TokenKind::kUserDefined && text.front() == kMark) continue;
    ids_.push_back(id);
    user_defined_ |= kind == TokenKind::kUserDefined;
  }
  std::stable_sort(ids_.begin(), ids_.end(),
                   [&](int32_t a, int32_t b) { return vocabulary.text(a) < vocabulary.text(b); });
  for (int byte = 0; byte < 256; ++byte) {
    first_byte_.push_back(narrow({0, ids_.size()}, 0, static_cast<char>(byte)));
  }
}

// Of tokens that are equal before `depth`, those with `byte` there. One that ends at `depth` comes
// first of all in the order, as if it had a byte below every other.
SpecialTokens::Range SpecialTokens::narrow(Range range, size_t depth, char byte) const {
  const auto at = [&](int32_t id) {
    const std::string_view text = vocabulary_.text(id);
    return depth < text.size() ? static_cast<uint8_t>(text[depth]) : -1;
  };
  const int wanted = static_cast<uint8_t>(byte);
  const auto first = ids_.begin();
  const auto low = std::partition_point(first + range.begin, first + range.end,
                                        [&](int32_t id) { return at(id) < wanted; });
  const auto high =
      std::partition_point(low, first + range.end, [&](int32_t id) { return at(id) == wanted; });
  return {static_cast<size_t>(low - first), static_cast<size_t>(high - first)};
}

SpecialTokens::Match SpecialTokens::next(std::string_view text, size_t from, bool controls,
                                         const std::vector<size_t>& barriers) const {
  if (!controls && !user_defined_) return {text.size()};
  auto barrier = std::lower_bound(barriers.begin(), barriers.end(), from);
  for (size_t begin = from; begin < text.size(); ++begin) {
    Range range = first_byte_[static_cast<uint8_t>(text[begin])];
    if (range.empty()) continue;
    while (barrier != barriers.end() && *barrier < begin) ++barrier;
    const size_t control_end = barrier == barriers.end() ? text.size() : *barrier;
    Match best;
    for (size_t depth = 1; !range.empty(); ++depth) {
      const int32_t id = ids_[range.begin];
      const bool allowed = vocabulary_.kind(id) == TokenKind::kUserDefined ||
                           (controls && begin + depth <= control_end);
      if (allowed && vocabulary_.text(id).size() == depth) best = {begin, depth, id};
      if (begin + depth == text.size()) break;
      range = narrow(range, depth, text[begin + depth]);
    }
    if (best.id >= 0) return best;
  }
  return {text.size()};
}

int32_t SpecialTokens::find(std::string_view text) const {
  const auto at = std::lower_bound(ids_.begin(), ids_.end(), text, [&](int32_t id, auto wanted) {
    return vocabulary_.text(id) < wanted;
  });
  return at != ids_.end() && vocabulary_.text(*at) == text ? *at : -1;
}

bool SpecialTokens::starts_control(std::string_view text) const {
  Range range = first_byte_[static_cast<uint8_t>(text[0])];
  for (size_t depth = 1; !range.empty(); ++depth) {
    const int32_t id = ids_[range.begin];
    const bool whole = vocabulary_.text(id).size() == depth;
    if (whole && vocabulary_.kind(id) != TokenKind::kUserDefined) return true;
    if (depth == text.size()) return false;
    range = narrow(range, depth, text[depth]);
  }
  return false;
}

std::string SpecialTokens::shield(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kMark || starts_control(text.substr(i))) out.push_back(kMark);
    out.push_back(text[i]);
  }
  return out;
}

std::string SpecialTokens::unshield(std::string_view text, std::vector<size_t>* barriers) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kMark && i + 1 < text.size()) {
      ++i;
      if (text[i] != kMark) barriers->push_back(out.size());
    }
    out.push_back(text[i]);
  }
  return out;
}

}  // namespace nibble
