// Reporters around Google Benchmark's own.
//
// Its JSON (--benchmark_out) is what compare.py reads; JSON lines are for files of several machines
// and days that are joined and filtered (bench/results), each line complete in itself.
#pragma once

#include <benchmark/benchmark.h>

#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace nibble {

using Facts = std::map<std::string, std::string>;

class JsonLines {
 public:
  // False when the file cannot be made.
  bool open(const std::string& path) {
    file_.open(path, std::ios::binary);
    return file_.is_open();
  }

  // `about` is repeated in every line.
  void write(const Facts& about, const std::vector<benchmark::BenchmarkReporter::Run>& runs) {
    if (!file_.is_open()) return;
    for (const auto& run : runs) {
      nlohmann::json line = about;
      line["name"] = run.benchmark_name();
      if (run.error_occurred) {
        line["skipped"] = run.error_message;
      } else {
        line["cpu_time"] = run.GetAdjustedCPUTime();
        line["real_time"] = run.GetAdjustedRealTime();
        line["time_unit"] = benchmark::GetTimeUnitString(run.time_unit);
        for (const auto& [name, counter] : run.counters) line[name] = counter.value;
      }
      file_ << line.dump() << "\n";
    }
    file_.flush();
  }

  // False when a write failed.
  bool good() const { return !file_.is_open() || file_.good(); }

 private:
  std::ofstream file_;
};

// What Google Benchmark prints anyway (--benchmark_format), after `begin`, which is called only
// when benchmarks are really run: not for a list of their names. It measures the machine and
// returns the context; false: an error, nothing is run.
class DisplayReporter : public benchmark::BenchmarkReporter {
 public:
  DisplayReporter(std::function<bool(Facts*)> begin, JsonLines* lines)
      : inner_(benchmark::CreateDefaultDisplayReporter()),
        begin_(std::move(begin)),
        lines_(lines) {}

  bool ReportContext(const Context& context) override {
    if (!begin_(&facts_)) return false;
    for (const auto& [key, value] : facts_) benchmark::AddCustomContext(key, value);
    inner_->SetOutputStream(&GetOutputStream());
    inner_->SetErrorStream(&GetErrorStream());
    return inner_->ReportContext(context);
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    inner_->ReportRuns(runs);
    lines_->write(facts_, runs);
  }

  void Finalize() override { inner_->Finalize(); }

 private:
  std::unique_ptr<benchmark::BenchmarkReporter> inner_;
  std::function<bool(Facts*)> begin_;
  JsonLines* lines_;
  Facts facts_;
};

}  // namespace nibble
