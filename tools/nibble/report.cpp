#include "tools/nibble/report.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "runtime/machine/probe.h"
#include "tools/nibble/command.h"

namespace nibble::cli {
namespace {

using Json = nlohmann::ordered_json;

// Things per second; nothing when there were none to time.
std::optional<double> rate(double count, double seconds) {
  if (count <= 0 || seconds <= 0) return std::nullopt;
  return count / seconds;
}

Json number(std::optional<double> value) {
  return value ? Json(*value) : Json(nullptr);
}

std::optional<double> decode_gb_per_s(const Stats& stats) {
  return rate(
      1e-9 * static_cast<double>(stats.decode_bytes) * static_cast<double>(stats.decode_tokens),
      stats.decode_s);
}

std::optional<double> percent(std::optional<double> part, std::optional<double> whole) {
  if (!part || !whole || *whole <= 0) return std::nullopt;
  return 100 * *part / *whole;
}

// Share of the weights' pages looked at that lie where their threads are.
std::optional<double> placed_right(const Model::Placement& placement) {
  if (placement.pages == 0) return std::nullopt;
  return static_cast<double>(placement.right) / static_cast<double>(placement.pages);
}

Json stats_json(const Completion& completion, const RunFacts& facts) {
  const Stats& stats = completion.stats;
  const std::optional<double>& bandwidth = facts.bandwidth_gb_per_s;
  const std::optional<double> achieved = decode_gb_per_s(stats);
  return {{"stop_reason", stop_reason_name(completion.reason)},
          {"prompt_tokens", stats.prompt_tokens},
          {"cached_tokens", stats.cached_tokens},
          {"decode_tokens", stats.decode_tokens},
          {"drafted_tokens", stats.drafted_tokens},
          {"accepted_tokens", stats.accepted_tokens},
          {"model_drafted_tokens", stats.model_drafted_tokens},
          {"model_accepted_tokens", stats.model_accepted_tokens},
          {"decode_passes", stats.decode_passes},
          {"draft_s", stats.draft_s},
          {"draft_prompt_s", stats.draft_prompt_s},
          {"prompt_tokens_per_s", number(rate(stats.prompt_tokens, stats.prompt_s))},
          {"decode_tokens_per_s", number(rate(stats.decode_tokens, stats.decode_s))},
          {"prompt_s", stats.prompt_s},
          {"decode_s", stats.decode_s},
          {"first_token_s", stats.first_token_s},
          {"load_s", facts.load_s},
          {"peak_memory_bytes", stats.peak_memory_bytes},
          {"kv_bytes", facts.kv_bytes},
          {"context", facts.context},
          {"threads", facts.placement.threads},
          {"memory_nodes", facts.placement.nodes},
          {"weight_pages_placed_right", number(placed_right(facts.placement))},
          {"seed", facts.seed},
          {"bytes_per_token", stats.decode_bytes},
          {"exact_head_rows_per_token", stats.head_rows},
          {"gb_per_s", number(achieved)},
          {"bandwidth_gb_per_s", number(bandwidth)},
          {"percent_of_bandwidth", number(percent(achieved, bandwidth))}};
}

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  char text[256];
  std::snprintf(text, sizeof(text), pattern, args...);
  return text;
}

}  // namespace

std::optional<double> measure_bandwidth_gb_per_s(int threads) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  const pid_t child = fork();
  if (child == 0) {
    const auto measured = probe_read_gb_per_s(threads);
    const bool sent = measured && write(ends[1], &*measured, sizeof(double)) == sizeof(double);
    _exit(sent ? 0 : 1);
  }
  close(ends[1]);
  double value = 0;
  ssize_t got = -1;
  do {
    got = read(ends[0], &value, sizeof(value));
  } while (got < 0 && errno == EINTR);
  close(ends[0]);
  while (child > 0 && waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (got != sizeof(value)) return std::nullopt;
  return value;
}

Json completion_json(const Completion& completion, const RunFacts& facts) {
  Json steps = Json::array();
  for (const Step& step : completion.steps) {
    steps.push_back({{"id", step.id}, {"logprob", step.logprob}, {"top", step.top}});
  }
  return {{"text", completion.text},
          {"tokens", completion.tokens},
          {"steps", std::move(steps)},
          {"stats", stats_json(completion, facts)}};
}

std::string stats_text(const Completion& completion, const RunFacts& facts) {
  const Stats& stats = completion.stats;
  std::string out =
      format("prompt   %6lld tokens  %9.1f tokens/s   first token after %.3f s\n",
             static_cast<long long>(stats.prompt_tokens),
             rate(stats.prompt_tokens, stats.prompt_s).value_or(0), stats.first_token_s);
  if (stats.cached_tokens > 0) {
    out += format("         %6lld tokens were there already\n",
                  static_cast<long long>(stats.cached_tokens));
  }
  out += format("answer   %6lld tokens  %9.1f tokens/s   ended by: %s\n",
                static_cast<long long>(completion.tokens.size()),
                rate(stats.decode_tokens, stats.decode_s).value_or(0),
                std::string(stop_reason_name(completion.reason)).c_str());
  out += format("speed    %s a token", human_bytes(stats.decode_bytes).c_str());
  const std::optional<double> achieved = decode_gb_per_s(stats);
  if (achieved) out += format(", %.2f GB/s", *achieved);
  const std::optional<double>& bandwidth = facts.bandwidth_gb_per_s;
  if (const auto share = percent(achieved, bandwidth)) {
    out += *share > 100
               ? format(": from the caches, memory gives %.1f GB/s", *bandwidth)
               : format(": %.0f %% of the %.1f GB/s that this machine reads", *share, *bandwidth);
  }
  const int64_t looked_up = stats.drafted_tokens - stats.model_drafted_tokens;
  if (looked_up > 0) {
    out += format("\nlookup   %lld of %lld guessed tokens were right",
                  static_cast<long long>(stats.accepted_tokens - stats.model_accepted_tokens),
                  static_cast<long long>(looked_up));
  }
  if (stats.draft_s > 0) {
    out +=
        format("\ndraft    %lld of %lld guessed tokens were right, %.2f s + %.2f s for the prompt",
               static_cast<long long>(stats.model_accepted_tokens),
               static_cast<long long>(stats.model_drafted_tokens),
               stats.draft_s - stats.draft_prompt_s, stats.draft_prompt_s);
  }
  if (stats.head_rows > 0) {
    out += format("\nhead     screened, %.0f rows a token computed exactly", stats.head_rows);
  }
  out += format("\nmemory   peak %s, KV cache %s for %lld tokens\n",
                human_bytes(stats.peak_memory_bytes).c_str(), human_bytes(facts.kv_bytes).c_str(),
                static_cast<long long>(facts.context));
  if (const auto share = placed_right(facts.placement)) {
    out += format("nodes    %d, %.0f %% of %llu pages of weights looked at lie right\n",
                  facts.placement.nodes, 100 * *share,
                  static_cast<unsigned long long>(facts.placement.pages));
  }
  out += format("run      %d threads, loaded in %.2f s, seed %llu\n", facts.placement.threads,
                facts.load_s, static_cast<unsigned long long>(facts.seed));
  return out;
}

}  // namespace nibble::cli
