// Repeats what fuzzing has found, and a little more, the same every time.
//
//   fuzz_regression TARGET                  every file of corpus/TARGET, then seeds changed at
//                                           random, a fixed number of times from a fixed seed
//   fuzz_regression TARGET FILE...          these inputs, to see one fail
//   fuzz_regression --seeds TARGET FOLDER   writes the seeds, for tools/dev fuzz
//   fuzz_regression --search TARGET SECONDS SEED
//                                           changes at random for so long: a search where there is
//                                           no libFuzzer, or with valgrind
//
// It ends with 0, or where the input that broke a promise is: on disk, with the command that
// repeats it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/fuzz/targets.h"
#include "tests/tools/program.h"

namespace nibble::fuzz {
namespace {

constexpr unsigned kSecondsMax = 60;  // for one input, under sanitizers, on a busy machine

std::string current;  // what runs, for the handler
int report = 2;       // the standard error that we began with

void say(const std::string& line) {
  [[maybe_unused]] const ssize_t written = write(report, line.data(), line.size());
}

void on_end(int signal) {
  char path[] = "/tmp/nibble-fuzz-failed-XXXXXX";
  const int file = mkstemp(path);
  [[maybe_unused]] const ssize_t written = write(file, current.data(), current.size());
  say(signal == SIGALRM ? "fuzz: an input takes too long: " : "fuzz: an input fails: ");
  say(path);
  say("\n");
  _exit(1);
}

void run_one(const Target& target, std::string input) {
  current = std::move(input);
  alarm(kSecondsMax);
  target.run(current);
  alarm(0);
}

std::vector<std::string> corpus(const Target& target) {
  std::vector<std::string> paths;
  const std::string folder = std::string(NIBBLE_SOURCE_DIR "/tests/fuzz/corpus/") + target.name;
  if (std::filesystem::exists(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Bytes changed, moved, and mixed with those of another input.
std::string change(std::string bytes, const std::vector<std::string>& others, Random& random) {
  for (size_t changes = 1 + random.below(6); changes > 0; --changes) {
    const size_t at = random.below(bytes.size() + 1), length = 1 + random.below(16);
    switch (random.below(6)) {
      case 0:
        bytes.insert(at, 1, static_cast<char>(random.next()));
        break;
      case 1:
        bytes.erase(at, length);
        break;
      case 2:
        bytes.insert(at, bytes.substr(random.below(bytes.size() + 1), length));
        break;
      case 3: {
        const std::string& other = others[random.below(others.size())];
        bytes.insert(at, other.substr(random.below(other.size() + 1), length));
        break;
      }
      default:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
    }
  }
  return bytes;
}

// Everything that is known, then changes of it until `enough(how many)`.
template <typename Enough>
void run_all(const Target& target, uint64_t seed, Enough&& enough) {
  std::vector<std::string> pool = target.seeds();
  for (const std::string& path : corpus(target)) pool.push_back(tools_test::read_file(path));
  for (const std::string& input : pool) run_one(target, input);
  Random random(seed);
  size_t changes = 0;
  for (; !enough(changes); ++changes) {
    std::string input = pool[random.below(pool.size())];
    std::string changed;
    if (target.mutate != nullptr && random.below(4) != 0) changed = target.mutate(input, random);
    if (changed.empty()) changed = change(std::move(input), pool, random);
    changed.resize(std::min(changed.size(), target.longest));
    run_one(target, std::move(changed));
  }
  const size_t inputs = pool.size() + changes;
  say(std::string("fuzz: ") + target.name + ": " + std::to_string(inputs) + " inputs\n");
}

int write_seeds(const Target& target, const std::string& folder) {
  size_t index = 0;
  for (const std::string& seed : target.seeds()) {
    std::ofstream(folder + "/seed-" + std::to_string(index++), std::ios::binary) << seed;
  }
  return 0;
}

// Where an input ends the process, it is kept; what targets print would be megabytes. (Sanitizers'
// reports are looked at by giving the FILE.)
void keep_failing_inputs(const Target& target) {
  report = dup(2);
  for (const int signal : {SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    std::signal(signal, on_end);
  }
  const int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(nothing, 1);
  if (std::strcmp(target.name, "arguments") == 0) dup2(nothing, 2);
}

int run(const std::vector<std::string>& words) {
  const bool seeds = words.size() == 3 && words[0] == "--seeds";
  const bool search = words.size() == 4 && words[0] == "--search";
  const Target* target = words.empty() ? nullptr : find_target(words[seeds || search ? 1 : 0]);
  if (target == nullptr) {
    say("fuzz_regression TARGET [FILE...] | --seeds TARGET FOLDER | --search TARGET SECONDS SEED;"
        " targets:");
    for (const Target& known : all_targets()) say(std::string(" ") + known.name);
    say("\n");
    return 64;
  }
  if (seeds) return write_seeds(*target, words[2]);
  if (search) {
    keep_failing_inputs(*target);
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::seconds(std::strtol(words[2].c_str(), nullptr, 10));
    run_all(*target, std::strtoull(words[3].c_str(), nullptr, 10),
            [end](size_t) { return std::chrono::steady_clock::now() >= end; });
  } else if (words.size() == 1) {
    keep_failing_inputs(*target);
    const auto enough = static_cast<size_t>(target->iterations);
    run_all(*target, 1, [enough](size_t changes) { return changes >= enough; });
  }
  for (size_t i = 1; !search && i < words.size(); ++i) {
    run_one(*target, tools_test::read_file(words[i]));
  }
  return 0;
}

}  // namespace
}  // namespace nibble::fuzz

// Sanitizers end the process as a failed promise does, so that the input is kept.
extern "C" const char* __asan_default_options() {
  return "abort_on_error=1";
}
extern "C" const char* __ubsan_default_options() {
  return "abort_on_error=1:print_stacktrace=1";
}

int main(int argc, char** argv) {
  return nibble::fuzz::run({argv + 1, argv + argc});
}
