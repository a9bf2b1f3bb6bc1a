// Benchmark results as JSON lines: one object a line, each complete in itself, so that files of
// several machines and days can be joined and filtered.
#pragma once

#include <benchmark/benchmark.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace nibble {

// To be given as the file reporter; writes to --benchmark_out.
class JsonLines : public benchmark::BenchmarkReporter {
 public:
  // `about` is repeated in every line.
  explicit JsonLines(nlohmann::json about) : about_(std::move(about)) {}

  bool ReportContext(const Context&) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      nlohmann::json line = about_;
      line["name"] = run.benchmark_name();
      if (run.error_occurred) {
        line["skipped"] = run.error_message;
      } else {
        for (const auto& [name, counter] : run.counters) line[name] = counter.value;
      }
      GetOutputStream() << line.dump() << "\n";
    }
  }

 private:
  nlohmann::json about_;
};

}  // namespace nibble
