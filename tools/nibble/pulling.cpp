#include "tools/nibble/pulling.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "runtime/file/concat.h"
#include "runtime/file/gguf.h"
#include "runtime/machine/topology.h"
#include "runtime/memory_plan.h"
#include "simd/registry.h"
#include "tools/nibble/command.h"
#include "tools/nibble/output.h"
#include "tools/nibble/progress_bar.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

void say(const std::string& text) {
  std::fprintf(stderr, "nibble: %s\n", printable(text).c_str());
}

// 75 -> "1:15"
std::string clock_text(double seconds) {
  const auto whole = static_cast<long>(seconds + 0.5);
  char text[32];
  if (whole >= 3600) {
    std::snprintf(text, sizeof(text), "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof(text), "%ld:%02ld", whole / 60, whole % 60);
  }
  return text;
}

std::string progress_note(const hub::PullProgress& now) {
  std::string note = human_bytes(now.done);
  if (now.total > 0) note += " of " + human_bytes(now.total);
  if (now.bytes_per_s > 0) {
    note += ", " + human_bytes(static_cast<uint64_t>(now.bytes_per_s)) + "/s";
    if (now.total > now.done) {
      note +=
          ", " + clock_text(static_cast<double>(now.total - now.done) / now.bytes_per_s) + " left";
    }
  }
  return now.count > 1 ? concat(note, ", file ", now.number, " of ", now.count) : note;
}

// The first is what will be downloaded.
void print_choices(const hub::PullPlan& plan) {
  say(concat("the name leaves a choice; the first of these is taken:"));
  const size_t shown = std::min<size_t>(plan.choices.size(), 12);
  for (size_t i = 0; i < shown; ++i) {
    const hub::Choice& choice = plan.choices[i];
    const std::string type = choice.type.empty() ? choice.file : ":" + choice.type;
    std::fprintf(stderr, "  %-12s %10s\n", type.c_str(), human_bytes(choice.bytes).c_str());
  }
  if (shown < plan.choices.size()) {
    std::fprintf(stderr, "  and %zu more\n", plan.choices.size() - shown);
  }
}

bool person_agrees() {
  std::fputs("Download it all the same? [y/N] ", stderr);
  char answer[16] = {};
  return std::fgets(answer, sizeof(answer), stdin) != nullptr &&
         (answer[0] == 'y' || answer[0] == 'Y');
}

Result<void> approve(const hub::PullPlan& plan, Unfit unfit, const LoadOptions& load) {
  if (!plan.choices.empty()) print_choices(plan);
  say(concat("downloading ", plan.name, ", ", human_bytes(plan.bytes)));
  if (plan.header.empty()) return {};
  const auto need = memory_need(plan, load);
  if (need) {
    if (!need->empty()) say(*need);
    return {};
  }
  if (unfit == Unfit::kRefuse) return need.error();
  say("this machine cannot run it: " + need.error().message);
  const bool person = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
  if (!person || person_agrees()) return {};
  return Error{ErrorCode::kInterrupted, "not downloaded; nibble plan tells what would fit"};
}

}  // namespace

Result<std::string> memory_need(const hub::PullPlan& plan, const LoadOptions& load) {
  const auto file = GgufFile::open(plan.header);
  if (!file) return std::string();  // a header beyond the first piece: checked when all is there
  const KernelSet kernels(detect_cpu_features());
  NIBBLE_TRY(const ModelMemory memory, model_memory(*file, kernels, HeadMode::kScreened));
  const MemoryLimit limit = memory_limit(detect_topology(), load.memory_limit);
  NIBBLE_TRY(const uint64_t bytes, check_memory(*file, kernels, memory, load, limit));
  const int64_t longest = largest_context(memory.shape, load.session, limit.bytes - memory.total());
  return concat("running it takes ", human_bytes(bytes), "; ", limit.whose, " ",
                human_bytes(limit.bytes), ", enough for contexts up to ", longest, " tokens");
}

Result<hub::Pulled> pull_with_progress(const std::string& name, hub::PullOptions options,
                                       Unfit unfit, const LoadOptions& load) {
  std::optional<ProgressBar> bar;
  const auto start = std::chrono::steady_clock::now();
  options.cancelled = [] { return signal_exit_code() != 0; };
  options.note = [](const std::string& text) { say("note: " + text); };
  options.approve = [&](const hub::PullPlan& plan) {
    bar.reset();  // a line of its own
    return approve(plan, unfit, load);
  };
  const auto pulled = hub::pull_model(name, options, [&](const hub::PullProgress& now) {
    if (!bar) bar.emplace(now.file);
    bar->update(now.total > 0 ? static_cast<double>(now.done) / static_cast<double>(now.total) : 0,
                progress_note(now));
  });
  bar.reset();
  if (pulled && !pulled->was_here) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    say(concat("got ", pulled->model.name, " in ", clock_text(took.count()), ": ",
               pulled->model.path));
  }
  return pulled;
}

}  // namespace nibble::cli
