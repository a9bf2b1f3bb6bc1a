// Recorded results of an independent runtime, and how far ours are from them.
#pragma once

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nibble/nibble.h"
#include "runtime/sampler.h"

namespace nibble {

struct GoldenStep {
  int32_t id = 0;
  std::vector<std::pair<int32_t, double>> top;
};
struct GoldenRun {
  std::string prompt;
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<GoldenStep> steps;
};

inline std::vector<GoldenRun> read_golden(const std::string& path) {
  std::ifstream file(path);
  std::vector<GoldenRun> runs;
  for (const auto& run : nlohmann::json::parse(file)) {
    GoldenRun golden{run["prompt"], run["text"], run["tokens"], {}};
    for (const auto& step : run["steps"]) {
      GoldenStep s{step["id"], {}};
      for (const auto& pair : step["top"]) s.top.emplace_back(pair[0], pair[1]);
      golden.steps.push_back(s);
    }
    runs.push_back(golden);
  }
  return runs;
}

// Feeds prompt and recorded tokens and compares the log-probabilities after each.
struct Deviation {
  double worst = 0;          // over recorded log-probabilities above the floor
  int different_greedy = 0;  // our best id is another one ...
  double greedy_gap = 0;     // ... and the record's two best lie this far apart, at most
  size_t compared = 0;
};

inline Deviation compare(Session& session, const Model& model, const GoldenRun& run, double floor) {
  Deviation result;
  session.reset();
  std::vector<int32_t> ids = model.tokenize(run.prompt, true, true);
  const size_t first = ids.size() - 1;
  ids.insert(ids.end(), run.tokens.begin(), run.tokens.end() - 1);
  const auto logits = session.evaluate(ids, true);
  if (!logits) {
    result.worst = INFINITY;
    return result;
  }
  const auto vocabulary = static_cast<size_t>(model.vocabulary_size());
  for (size_t i = 0; i < run.steps.size(); ++i) {
    const std::span<const float> row(logits->data() + (first + i) * vocabulary, vocabulary);
    const GoldenStep& step = run.steps[i];
    for (const auto& [id, logprob] : step.top) {
      if (logprob < floor) continue;
      result.worst = std::max(result.worst, std::abs(log_probability(row, id) - logprob));
      ++result.compared;
    }
    if (argmax(row) != step.id) {
      ++result.different_greedy;
      result.greedy_gap = std::max(result.greedy_gap, step.top[0].second - step.top[1].second);
    }
  }
  return result;
}

}  // namespace nibble
