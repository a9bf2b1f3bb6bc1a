// What the program does when the system fails it: each call that fails, at each place where it is
// made, is a clear error or a fallback with the same result; whenever the process dies while it
// writes, the file is the old one or the new one, whole. The preloaded fault_shim.cpp makes calls
// fail; NIBBLE_FAULTS_ALL=1 tries every place instead of some of each. Read next: fault.h.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "tests/faults/fault.h"
#include "tests/machine/real_group.h"
#include "tests/model/random_model.h"
#include "tests/tools/hf_model.h"
#include "tests/tools/hf_tokenizer.h"

namespace nibble::test {
namespace {

// A small model and what the commands that write are given.
class Material {
 public:
  Material() {
    const RandomModel shape{.name = "small",
                            .architecture = "llama",
                            .layers = 1,
                            .embedding = 64,
                            .feed_forward = 64,
                            .heads = 2,
                            .kv_heads = 1,
                            .head_dim = 32};
    write_model(random_model(shape), model());
    RandomModel large = shape;  // 60 MiB
    large.layers = 4;
    large.embedding = 512;
    large.feed_forward = 2048;
    large.heads = 16;
    write_model(random_model(large), this->large());
    std::ofstream text(folder_.file("text"));
    for (int i = 0; i < 2000; ++i) text << "t" << i % 40;
    text.close();
    auto hf = tools_test::make_hf_model("llama");
    hf.tokenizer = tools_test::byte_level_tokenizer_json(
        testing::bpe_tokens({{"he"}, {"<|end|>", 3}}), {"h e"}, tools_test::kQwenPattern);
    hf.tokenizer_config = {{"eos_token", "<|end|>"}};
    std::filesystem::create_directory(folder_.file("hf"));
    write_hf_model(hf, folder_.file("hf"));
  }
  std::string model() const { return folder_.file("model.gguf"); }
  std::string large() const { return folder_.file("large.gguf"); }
  std::string text() const { return folder_.file("text"); }
  std::string hf() const { return folder_.file("hf"); }

 private:
  Folder folder_;
};

const Material& material() {
  static const Material made;
  return made;
}

std::vector<std::string> ask() {
  return {"run", kModel, "-p", "Once upon a time", "--temp", "0", "-n", "6"};
}

#if defined(NIBBLE_FAULT_SHIM)

// A command that writes OUT.
struct Writer {
  const char* name;
  std::vector<std::string> (*arguments)(const std::string& out);
};

void PrintTo(const Writer& writer, std::ostream* out) {
  *out << writer.name;
}

const Writer kWriters[] = {
    {"quantize",
     [](const std::string& out) -> std::vector<std::string> {
       return {"quantize", material().model(), out, "Q8_0"};
     }},
    {"convert",
     [](const std::string& out) -> std::vector<std::string> {
       return {"convert", material().hf(), out};
     }},
    {"imatrix",
     [](const std::string& out) -> std::vector<std::string> {
       return {"imatrix", material().model(), out, "--text", material().text(), "-c", "32"};
     }},
    {"kl_base",
     [](const std::string& out) -> std::vector<std::string> {
       return {"perplexity", material().model(), "--text", material().text(), "--ctx",
               "32",         "--kl-base",        out};
     }},
};

class WriterFaults : public ::testing::TestWithParam<Writer> {
 protected:
  static constexpr const char* kOld = "the old file";

  WriterFaults() {
    EXPECT_EQ(run(arguments()).code, 0);
    made_ = read_bytes(out());
    EXPECT_GT(made_.size(), 100U);
  }
  std::string out() const { return folder_.file("out"); }
  std::vector<std::string> arguments() const { return GetParam().arguments(out()); }
  Outcome run_with(const std::string& fault) const {
    std::ofstream(out(), std::ios::binary) << kOld;
    return run(arguments(), {.environment = with_fault(fault)});
  }
  size_t files() const {
    return static_cast<size_t>(
        std::distance(std::filesystem::directory_iterator(folder_.path()), {}));
  }
  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::filesystem::remove(entry.path());
    }
  }

  const Folder folder_;
  std::string made_;
};

// For tools/dev faults.
class TellHowMany : public ::testing::Environment {
  void TearDown() override {
    if (tries_all()) std::printf("%ld runs with a fault\n", faults_tried);
  }
};
[[maybe_unused]] const auto* const tell_how_many =
    ::testing::AddGlobalTestEnvironment(new TellHowMany);

constexpr const char* kFileCalls[] = {"create", "write",     "fsync",
                                      "rename", "ftruncate", "fallocate"};

TEST_P(WriterFaults, EachCallThatFailsIsAnErrorAndTheOldFileStays) {
  const int kErrors[] = {ENOSPC, EIO};
  size_t tried = 0, failed = 0;
  const auto made = count_calls(arguments());
  for (const char* call : kFileCalls) {
    for (const long place : places(made.at(call), 6)) {
      const std::string fault = at_place(call, place, std::to_string(kErrors[place % 2]));
      SCOPED_TRACE(fault);
      const Outcome outcome = run_with(fault);
      ++tried;
      if (outcome.code == 0) {  // a folder that cannot be synchronised
        EXPECT_EQ(read_bytes(out()), made_);
        EXPECT_STRNE(call, "write");
        EXPECT_STRNE(call, "rename");
      } else {
        ++failed;
        EXPECT_TRUE(is_clear_error(outcome)) << outcome.code << outcome.err;
        EXPECT_NE(outcome.err.find(out()), std::string::npos) << outcome.err;
        EXPECT_EQ(read_bytes(out()), kOld);
      }
      EXPECT_EQ(files(), 1U) << "something was left behind";
      clear();
    }
  }
  EXPECT_GE(tried, 5U);
  EXPECT_GE(failed, 4U);
}

TEST_P(WriterFaults, WhereverTheProcessDiesTheFileIsWhole) {
  size_t old_ones = 0, new_ones = 0;
  const auto made = count_calls(arguments());
  for (const char* call : kFileCalls) {
    for (const long place : places(made.at(call), 6)) {
      const std::string fault = at_place(call, place, "kill");
      SCOPED_TRACE(fault);
      const Outcome outcome = run_with(fault);
      EXPECT_EQ(outcome.code, 128 + SIGKILL) << outcome.err;
      const std::string left = read_bytes(out());
      EXPECT_TRUE(left == kOld || left == made_) << left.size() << " bytes";
      (left == kOld ? old_ones : new_ones) += 1;
      // What the dead left does not hinder the next.
      EXPECT_EQ(run(arguments()).code, 0);
      EXPECT_EQ(read_bytes(out()), made_);
      clear();
    }
  }
  EXPECT_GE(old_ones, 4U);
  EXPECT_GE(new_ones, 1U);  // synchronising the folder
}

TEST_P(WriterFaults, HalvesAndInterruptionsAreMadeGood) {
  for (const std::string fault :  // 4: EINTR
       {"write:1+:short", "write:2:4", "fallocate:1:4", "read:1+:short", "read:1:4"}) {
    SCOPED_TRACE(fault);
    const Outcome outcome = run_with(fault);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(read_bytes(out()), made_);
    clear();
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, WriterFaults, ::testing::ValuesIn(kWriters),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(RunFaults, MemoryAdviceAndBindingAreNotNeeded) {
  const std::string text = run(ask()).out;
  ASSERT_NE(text, "");
  for (const std::string fault :
       {"madvise:1+:38", "madvise:1+:22", "setaffinity:1+:1", "setaffinity:1+:22"}) {
    SCOPED_TRACE(fault);
    const Outcome outcome = run(ask(), {.environment = with_fault(fault)});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, text);
  }
}

TEST(RunFaults, PagesThatMayNotBePlacedAreReadWhereTheyLie) {
  const std::string text = run(ask()).out;
  ASSERT_NE(text, "");
  auto arguments = ask();
  arguments.insert(arguments.end(), {"--numa", "0", "--stats"});  // places them, and looks
  EXPECT_GE(count_calls(arguments).at("place"), 4);
  for (const std::string fault : {"place:1+:1", "place:1+:38", "place:2+:22"}) {
    SCOPED_TRACE(fault);  // EPERM: a container forbids it; ENOSYS: a kernel without NUMA
    const Outcome outcome = run(arguments, {.environment = with_fault(fault)});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, text);
  }
}

// Each is an error that says what was refused, or something else did as well.
TEST(RunFaults, MemoryAndThreadsThatAreRefused) {
  const std::string text = run(ask()).out;
  size_t refused = 0;
  const auto made = count_calls(ask());
  for (const std::string call : {"mmap", "thread"}) {
    const std::string error = std::to_string(call == "mmap" ? ENOMEM : EAGAIN);
    for (const char* onwards : {"", "+"}) {
      for (const long place : places(made.at(call), 8)) {
        // No memory at all: nothing begins that could say so.
        if (call == "mmap" && place == 1 && *onwards == '+') continue;
        const std::string fault = at_place(call, place, error, onwards);
        SCOPED_TRACE(fault);
        const Outcome outcome = run(ask(), {.environment = with_fault(fault)});
        if (outcome.code == 0) {
          EXPECT_EQ(outcome.out, text);
        } else {
          ++refused;
          EXPECT_TRUE(is_clear_error(outcome)) << outcome.code << ": " << outcome.err;
        }
      }
    }
  }
  EXPECT_GT(refused, 0U);
}

// The heap that cannot grow for a text of some megabytes.
TEST(RunFaults, AHeapThatCannotGrowIsAnError) {
  const std::vector<std::string> tokenize = {"tokenize", kModel};
  const long enough = count_calls(tokenize).at("mmap");
  const Outcome outcome =
      run(tokenize,
          {.input = std::string(16 << 20, 'a'),
           .environment = with_fault(at_place("mmap", enough + 1, std::to_string(ENOMEM), "+"))});
  EXPECT_EQ(outcome.code, 71) << outcome.err;
  EXPECT_NE(outcome.err.find("memory"), std::string::npos) << outcome.err;
}

#endif  // NIBBLE_FAULT_SHIM

TEST(RunFaults, OneCpuIsEnough) {
  const std::string text = run(ask()).out;
  ASSERT_NE(text, "");
  const Outcome outcome = run(ask(), {.before = [] {
                                cpu_set_t mine, one;
                                CPU_ZERO(&one);
                                if (sched_getaffinity(0, sizeof(mine), &mine) != 0) _exit(99);
                                for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
                                  if (!CPU_ISSET(cpu, &mine)) continue;
                                  CPU_SET(cpu, &one);
                                  break;
                                }
                                if (sched_setaffinity(0, sizeof(one), &one) != 0) _exit(99);
                              }});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, text);
}

// Some of these times are in the middle of loading, some before it, some perhaps behind its answer.
TEST(RunFaults, CtrlCWhileLoadingEndsIt) {
  auto arguments = ask();
  arguments[1] = material().large();
  arguments.push_back("--raw");
  ASSERT_EQ(run(arguments).err, "");
  int early = 0;
  for (const int ms : {1, 3, 10, 20, 30, 40, 60}) {
    SCOPED_TRACE(std::to_string(ms) + " ms");
    const Folder folder;
    const pid_t child = fork();
    if (child == 0) {
      std::signal(SIGINT, SIG_DFL);  // which a shell's background jobs ignore
      for (const auto& [name, to] : {std::pair{"out", 1}, {"err", 2}}) {
        dup2(open(folder.file(name).c_str(), O_WRONLY | O_CREAT, 0600), to);
      }
      become_program(arguments, {}, {});
    }
    usleep(static_cast<useconds_t>(ms) * 1000);
    kill(child, SIGINT);
    const int code = wait_for_exit(child);
    EXPECT_TRUE(code == 130 || code == 0) << code;
    const std::string said = read_bytes(folder.file("err"));
    EXPECT_TRUE(said.empty() || said == "nibble: interrupted while loading\n") << said;
    early += code == 130 && read_bytes(folder.file("out")).empty();
  }
  EXPECT_GE(early, 2);
}

#if !defined(NIBBLE_SANITIZED)  // whose shadow memory is larger than any limit
// As a container with a memory limit has them, by either version. The program ends by itself,
// before the kernel would end it.
TEST(RunFaults, MemoryLimitsOfAControlGroup) {
  std::string problems;
  for (const auto& [hierarchy, file] :
       {std::array{"/sys/fs/cgroup", "memory.max"},
        std::array{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}}) {
    if (const auto problem = RealGroup(hierarchy, file, "67108864").problem; !problem.empty()) {
      problems += "\n  " + problem;
      continue;
    }
    auto large = ask();
    large[1] = material().large();
    size_t refused = 0, done = 0;
    for (int mib = 8; mib <= 192; mib += mib / 2) {
      SCOPED_TRACE(std::to_string(mib) + " MiB by " + file);
      const RealGroup group(hierarchy, file, std::to_string(mib << 20));
      ASSERT_EQ(group.problem, "");
      for (const auto& arguments : {ask(), large}) {
        const Outcome outcome = run(arguments, {.before = [&group] {
                                      if (!group.enter()) _exit(99);
                                    }});
        (outcome.code == 0 ? done : refused) += 1;
        if (outcome.code == 0) continue;
        EXPECT_EQ(outcome.code, 71) << outcome.err;
        EXPECT_NE(outcome.err.find("the memory limit of this container (cgroup) is " +
                                   std::to_string(mib) + ".0 MiB"),
                  std::string::npos)
            << outcome.err;
      }
    }
    EXPECT_GE(refused, 5U);
    EXPECT_GE(done, 5U);
    return;
  }
  GTEST_SKIP() << "no control group can be made here:" << problems;
}

TEST(RunFaults, AddressSpaceLimits) {
  size_t refused = 0, done = 0;
  for (rlim_t mib = 24; mib <= 4096; mib = mib * 5 / 4) {
    SCOPED_TRACE(std::to_string(mib) + " MiB");
    const auto limit = [mib] {
      const rlimit bytes = {mib << 20, mib << 20};
      setrlimit(RLIMIT_AS, &bytes);
    };
    if (run({"--version"}, {.before = limit}).code != 0) continue;  // the loader has no room
    const Outcome outcome = run({"run", kModel, "-p", "Once", "--temp", "0", "-n", "2"},
                                {.environment = {{"NIBBLE_THREADS", "2"}}, .before = limit});
    if (outcome.code == 0) {
      ++done;
      continue;
    }
    ++refused;
    EXPECT_EQ(outcome.code, 71) << outcome.err;
    EXPECT_NE(outcome.err.find("nibble: "), std::string::npos) << outcome.err;
  }
  EXPECT_GT(done, 0U);
  EXPECT_GT(refused, 0U);
}
#endif

// Files that may not grow beyond a limit: as a full disk, but everywhere.
TEST(WriteFaults, FileSizeLimit) {
  for (const rlim_t bytes : {rlim_t{0}, rlim_t{1000}, rlim_t{20000}}) {
    const Folder folder;
    const std::string out = folder.file("out");
    std::ofstream(out) << "old";
    const Outcome outcome = run({"quantize", material().model(), out, "Q8_0"}, {.before = [bytes] {
                                  const rlimit limit = {bytes, bytes};
                                  setrlimit(RLIMIT_FSIZE, &limit);
                                }});
    EXPECT_EQ(outcome.code, 74) << outcome.err;
    EXPECT_EQ(read_bytes(out), "old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
  }
}

}  // namespace
}  // namespace nibble::test
