// GET /metrics: counts and gauges in Prometheus' text form.
#include <sys/resource.h>

#include "tools/nibble/serve/api.h"

namespace nibble::cli {
namespace {

// A name as the value of a label.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

HttpResponse Api::metrics() const {
  std::string out;
  const auto family = [&](const char* name, const char* type, const char* help) {
    out.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ");
    out.append(name).append(" ").append(type).append("\n");
  };
  const auto per_model = [&](const char* name, const char* type, const char* help, auto value) {
    family(name, type, help);
    for (const ModelService* model : models_->services()) {
      out.append(name).append("{model=").append(quoted(model->name())).append("} ");
      out.append(value(*model)).append("\n");
    }
  };
  using M = const ModelService&;
  const auto whole = [](uint64_t value) { return std::to_string(value); };

  family("nibble_requests_total", "counter", "Requests that were not refused by their head.");
  out += "nibble_requests_total " + std::to_string(requests_) + "\n";
  per_model("nibble_answers_total", "counter", "Answers given, cancelled ones included.",
            [&](M m) { return whole(m.counts().answers); });
  per_model("nibble_cancelled_total", "counter", "Answers that nobody waited for any more.",
            [&](M m) { return whole(m.counts().cancelled); });
  per_model("nibble_refused_total", "counter", "Requests refused because the queue was full.",
            [&](M m) { return whole(m.counts().refused); });
  per_model("nibble_prompt_tokens_total", "counter", "Prompt tokens evaluated.",
            [&](M m) { return whole(m.counts().prompt_tokens); });
  per_model("nibble_cached_tokens_total", "counter", "Prompt tokens found in the prefix cache.",
            [&](M m) { return whole(m.counts().cached_tokens); });
  per_model("nibble_answer_tokens_total", "counter", "Tokens of answers.",
            [&](M m) { return whole(m.counts().answer_tokens); });
  per_model("nibble_steps_total", "counter", "Evaluations, of all answers in progress at once.",
            [&](M m) { return whole(m.counts().steps); });
  per_model(
      "nibble_first_token_seconds_total", "counter",
      "Time from the evaluation's begin to the first token, summed over the answers.",
      [&](M m) { return std::to_string(static_cast<double>(m.counts().first_token_us) / 1e6); });
  per_model("nibble_model_loads_total", "counter", "Times the model was loaded again.",
            [&](M m) { return whole(m.counts().loads); });
  per_model("nibble_queue_length", "gauge", "Prompts that wait.",
            [&](M m) { return whole(m.waiting()); });
  per_model("nibble_active", "gauge", "Answers in progress.",
            [&](M m) { return whole(m.active()); });
  per_model("nibble_model_memory_bytes", "gauge", "Weights, KV caches and kept prefixes.",
            [&](M m) { return whole(m.memory_bytes()); });
  family("nibble_downloads", "gauge", "Downloads that clients asked for and that are in progress.");
  out += "nibble_downloads " + whole(can_pull() ? pulls_->active() : 0) + "\n";
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  family("process_cpu_seconds_total", "counter", "Processor time of this process.");
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  out += "process_cpu_seconds_total " +
         std::to_string(seconds(usage.ru_utime) + seconds(usage.ru_stime)) + "\n";
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = std::move(out);
  return response;
}

}  // namespace nibble::cli
