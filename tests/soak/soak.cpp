// Does for long what a server does: four sessions of one model answer, are cancelled, closed and
// opened again, at the same time. Says whether memory, descriptors and latency stay as they are.
//
//   soak MODEL MINUTES
//
// Ends with 1 if descriptors grew, an answer failed or, in runs of ten minutes and more, memory
// grew by more than 32 MiB an hour.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "nibble/nibble.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSessions = 4;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  double all = 0, resident = 0;
  statm >> all >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

size_t descriptors() {
  std::error_code error;
  size_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; at != end; ++at)
    ++count;
  return count;
}

struct Sample {
  double second;
  double mib;
  size_t open;
};

// Times between tokens, in classes that are 2 % apart: memory that does not grow.
class Latency {
 public:
  void add(double ms) {
    const double at = std::log(std::max(ms, kLeastMs) / kLeastMs) / kStep;
    ++counts_[std::min(static_cast<size_t>(at), counts_.size() - 1)];
  }
  uint64_t count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }
  double percentile(double share) const {
    auto left = static_cast<uint64_t>(share * static_cast<double>(count()));
    size_t at = 0;
    while (at + 1 < counts_.size() && left >= counts_[at]) left -= counts_[at++];
    return kLeastMs * std::exp(kStep * (static_cast<double>(at) + 0.5));
  }

 private:
  static constexpr double kLeastMs = 0.001, kStep = 0.02;
  std::array<std::atomic<uint64_t>, 1000> counts_ = {};
};

// What all threads report to.
struct Record {
  double seconds = 0;  // that it shall take
  Latency quarters[4];
  std::atomic<uint64_t> answers = 0, cancelled = 0, sessions = 0, tokens = 0, failed = 0;
};

void fail(Record* record, const nibble::Error& error) {
  ++record->failed;
  std::fprintf(stderr, "soak: %s\n", error.message.c_str());
}

// One session's life: some answers, of which some are stopped half way.
void live(const std::shared_ptr<nibble::Model>& model, std::mt19937* random, Record* record,
          Clock::time_point start) {
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(*random);
  };
  auto session = nibble::Session::create(model, {.context = 256 * pick(1, 4), .batch = 64});
  if (!session) return fail(record, session.error());
  ++record->sessions;
  for (int answers = pick(1, 4); answers > 0; --answers) {
    nibble::GenerateOptions options;
    options.max_tokens = pick(4, 48);
    options.sampling.seed = (*random)();
    options.ignore_end = true;
    const int stop_after = pick(0, 2) == 0 ? pick(0, 20) : 1000;
    int pieces = 0;
    auto last = Clock::now();
    const auto done = (*session)->complete(
        "Once upon a time there was a " + std::string(pick(0, 1) == 0 ? "cat" : "dog"), options,
        [&](std::string_view) {
          const auto quarter = static_cast<size_t>(seconds_since(start) / record->seconds * 4);
          if (pieces > 0)
            record->quarters[std::min<size_t>(quarter, 3)].add(seconds_since(last) * 1000);
          last = Clock::now();
          return ++pieces < stop_after;
        });
    if (!done) return fail(record, done.error());
    ++record->answers;
    record->tokens += done->tokens.size();
    record->cancelled += done->reason == nibble::StopReason::kCancelled ? 1 : 0;
    if (pick(0, 3) == 0) (*session)->reset();
  }
}

void print_latency(const char* when, const Latency& latency) {
  std::printf("%s: between tokens p50 %.2f ms, p95 %.2f ms, p99 %.2f ms (%llu)\n", when,
              latency.percentile(0.5), latency.percentile(0.95), latency.percentile(0.99),
              static_cast<unsigned long long>(latency.count()));
}

// MiB an hour: least squares over the samples.
double slope(const std::vector<Sample>& samples) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const Sample& s : samples) {
    n += 1;
    x += s.second;
    y += s.mib;
    xx += s.second * s.second;
    xy += s.second * s.mib;
  }
  const double spread = n * xx - x * x;
  return spread > 0 ? (n * xy - x * y) / spread * 3600 : 0;
}

int report(const Record& record, const std::vector<Sample>& all, double seconds) {
  // What is allocated once is there after a quarter.
  const std::vector<Sample> samples(all.begin() + static_cast<std::ptrdiff_t>(all.size() / 4),
                                    all.end());
  const double mib_per_hour = slope(samples);
  std::printf("%.0f s: %llu sessions, %llu answers (%llu cancelled, %llu failed), %llu tokens\n",
              seconds, static_cast<unsigned long long>(record.sessions),
              static_cast<unsigned long long>(record.answers),
              static_cast<unsigned long long>(record.cancelled),
              static_cast<unsigned long long>(record.failed),
              static_cast<unsigned long long>(record.tokens));
  std::printf("memory %.1f MiB after a quarter, %.1f MiB at the end: %+.2f MiB an hour\n",
              samples.front().mib, samples.back().mib, mib_per_hour);
  std::printf("descriptors %zu, at the end %zu\n", samples.front().open, samples.back().open);
  print_latency("first quarter", record.quarters[0]);
  print_latency("last quarter ", record.quarters[3]);
  const bool grew = seconds >= 590 && mib_per_hour > 32;
  if (grew) std::puts("soak: memory grows");
  const bool leaked = samples.back().open > samples.front().open;
  if (leaked) std::puts("soak: descriptors leak");
  return grew || leaked || record.failed > 0 || record.answers == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc == 3 ? std::atof(argv[2]) * 60 : 0;
  if (seconds <= 0) {
    std::fputs("soak MODEL MINUTES\n", stderr);
    return 64;
  }
  const auto engine = nibble::Engine::create({});
  if (!engine) return std::fprintf(stderr, "%s\n", engine.error().message.c_str()), 71;
  const auto model = nibble::Model::load(*engine, argv[1]);
  if (!model) return std::fprintf(stderr, "%s\n", model.error().message.c_str()), 66;

  Record record;
  record.seconds = seconds;
  std::atomic<bool> stop = false;
  const auto start = Clock::now();
  std::vector<std::thread> clients;
  for (int i = 0; i < kSessions; ++i) {
    clients.emplace_back([&, i] {
      for (std::mt19937 random(static_cast<unsigned>(i)); !stop;) {
        live(*model, &random, &record, start);
      }
    });
  }
  std::vector<Sample> samples;
  const auto pause = std::chrono::duration<double>(std::clamp(seconds / 100, 0.05, 1.0));
  while (seconds_since(start) < seconds) {
    std::this_thread::sleep_for(pause);
    samples.push_back({seconds_since(start), resident_mib(), descriptors()});
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  return report(record, samples, seconds_since(start));
}
