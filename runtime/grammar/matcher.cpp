#include "runtime/grammar/matcher.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace nibble {
namespace {

using Kind = GrammarElement::Kind;

uint64_t place(uint32_t element, uint32_t below) {
  return uint64_t{element} << 32 | below;
}

void sort_unique(std::vector<uint32_t>* values) {
  std::sort(values->begin(), values->end());
  values->erase(std::unique(values->begin(), values->end()), values->end());
}

}  // namespace

Matcher::Matcher(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  for (const uint32_t alternative : grammar_->rule(grammar_->root()).alternatives) {
    expand(alternative, kBottom, &start_.stacks, &start_.end);
  }
  sort_unique(&start_.stacks);
}

uint32_t Matcher::intern(uint32_t element, uint32_t below) {
  const auto [found, is_new] =
      known_.try_emplace(place(element, below), static_cast<uint32_t>(stacks_.size()));
  if (is_new) stacks_.push_back({element, below});
  return found->second;
}

void Matcher::expand(uint32_t element, uint32_t below, std::vector<uint32_t>* out, bool* end) {
  std::unordered_set<uint64_t> seen;
  work_.assign(1, place(element, below));
  while (!work_.empty() && !exhausted_) {
    const uint64_t next = work_.back();
    work_.pop_back();
    if (!seen.insert(next).second) continue;
    const auto at = static_cast<uint32_t>(next >> 32);
    const auto back = static_cast<uint32_t>(next);
    const GrammarElement here = grammar_->elements()[at];
    if (here.kind == Kind::kBytes) {
      out->push_back(intern(at, back));
    } else if (here.kind == Kind::kEnd) {
      if (back == kBottom) {
        *end = true;
      } else {
        const Stack& under = stacks_[back];
        work_.push_back(place(under.element + 1, under.below));
      }
    } else {
      // A way back is a stack whose element is the rule itself: behind it the text goes on.
      const bool is_last = grammar_->elements()[at + 1].kind == Kind::kEnd;
      const uint32_t way = is_last ? back : intern(at, back);
      for (const uint32_t alternative : grammar_->rule(here.value).alternatives) {
        work_.push_back(place(alternative, way));
      }
    }
    exhausted_ |= stacks_.size() > kStacksMax || seen.size() > kStacksMax / 16;
  }
}

void Matcher::follow(uint32_t stack) {
  reached_.clear();
  bool end = false;
  expand(stacks_[stack].element + 1, stacks_[stack].below, &reached_, &end);
  sort_unique(&reached_);
  Stack& known = stacks_[stack];
  known.followed = true;
  known.end = end;
  known.first = static_cast<uint32_t>(followers_.size());
  followers_.insert(followers_.end(), reached_.begin(), reached_.end());
  known.last = static_cast<uint32_t>(followers_.size());
}

bool Matcher::allows(const State& from, uint8_t byte) const {
  return std::any_of(from.stacks.begin(), from.stacks.end(), [&](uint32_t stack) {
    return grammar_->bytes(grammar_->elements()[stacks_[stack].element].value).test(byte);
  });
}

void Matcher::advance(const State& from, uint8_t byte, State* into) {
  into->stacks.clear();
  into->end = false;
  size_t matched = 0;
  for (const uint32_t stack : from.stacks) {
    const GrammarElement element = grammar_->elements()[stacks_[stack].element];
    if (!grammar_->bytes(element.value).test(byte)) continue;
    if (!stacks_[stack].followed) follow(stack);
    const Stack& known = stacks_[stack];
    into->end |= known.end;
    into->stacks.insert(into->stacks.end(), followers_.begin() + known.first,
                        followers_.begin() + known.last);
    ++matched;
  }
  if (matched > 1) sort_unique(&into->stacks);
  exhausted_ |= into->stacks.size() > kStateMax || followers_.size() > 4 * kStacksMax;
  if (exhausted_) *into = {};
}

}  // namespace nibble
