// Whether a grammar always needs a byte to come back to where it was. One that does not (a ::= a
// "x", or a repetition of nothing) would never end.
#include "runtime/grammar/grammar.h"

namespace nibble {
namespace {

using Kind = GrammarElement::Kind;

// Which rules may be empty.
std::vector<bool> nullable_rules(const std::vector<GrammarElement>& elements,
                                 const std::vector<Grammar::Rule>& rules) {
  // Each alternative waits for its next rule that is not known to be nullable; those that wait for
  // a rule are looked at again when it becomes so: linear in the size of the grammar.
  struct Waiting {
    uint32_t rule;
    uint32_t at;
  };
  std::vector<bool> nullable(rules.size());
  std::vector<std::vector<Waiting>> waiting(rules.size());
  std::vector<Waiting> work;
  for (uint32_t rule = 0; rule < rules.size(); ++rule) {
    for (const uint32_t at : rules[rule].alternatives) work.push_back({rule, at});
  }
  while (!work.empty()) {
    auto [rule, at] = work.back();
    work.pop_back();
    while (elements[at].kind == Kind::kRule && nullable[elements[at].value]) ++at;
    if (elements[at].kind == Kind::kRule) waiting[elements[at].value].push_back({rule, at});
    if (elements[at].kind != Kind::kEnd || nullable[rule]) continue;
    nullable[rule] = true;
    work.insert(work.end(), waiting[rule].begin(), waiting[rule].end());
  }
  return nullable;
}

}  // namespace

Result<void> Grammar::check_progress() const {
  const std::vector<bool> nullable = nullable_rules(elements_, rules_);
  // Depth first over "can begin with"; what is met again while it is open comes back to itself.
  enum class Mark : uint8_t { kNew, kOpen, kDone };
  std::vector<Mark> marks(rules_.size(), Mark::kNew);
  struct Open {
    uint32_t rule;
    size_t alternative;
    uint32_t at;
  };
  std::vector<Open> path;
  const auto enter = [&](uint32_t rule) {
    marks[rule] = Mark::kOpen;
    path.push_back({rule, 0, rules_[rule].alternatives.empty() ? 0 : rules_[rule].alternatives[0]});
  };
  for (uint32_t start = 0; start < rules_.size(); ++start) {
    if (marks[start] != Mark::kNew) continue;
    enter(start);
    while (!path.empty()) {
      Open& open = path.back();
      const Rule& rule = rules_[open.rule];
      if (open.alternative >= rule.alternatives.size()) {
        marks[open.rule] = Mark::kDone;
        path.pop_back();
        continue;
      }
      const GrammarElement element = elements_[open.at];
      if (element.kind != Kind::kRule) {
        if (++open.alternative < rule.alternatives.size()) {
          open.at = rule.alternatives[open.alternative];
        }
        continue;
      }
      if (marks[element.value] == Mark::kOpen) {
        std::string name;
        for (const Open& one : path) {
          if (!rules_[one.rule].name.empty()) name = rules_[one.rule].name;
        }
        return Error{ErrorCode::kUsage,
                     "grammar: rule " + name +
                         " comes back to itself, or repeats nothing, without a character; write it "
                         "so that it begins with something else"};
      }
      if (nullable[element.value]) {
        ++open.at;
      } else if (++open.alternative < rule.alternatives.size()) {
        open.at = rule.alternatives[open.alternative];
      }
      if (marks[element.value] == Mark::kNew) enter(element.value);
    }
  }
  return {};
}

}  // namespace nibble
