#include "tools/nibble/serve/request_log.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "tools/nibble/serve/api_error.h"

namespace nibble::cli {
namespace {

constexpr size_t kRouteMax = 100;

// "2026-11-29T20:15:00.123Z"
std::string now_text() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  char text[40];
  const size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof(text) - length, ".%03dZ", static_cast<int>(ms % 1000));
  return text;
}

double rounded(double value, double steps) {
  return std::round(value * steps) / steps;
}

// In the order of the columns.
Json fields(const Exchange& exchange, const std::string& time) {
  const HttpRequest& request = exchange.request();
  const auto ms = [](double seconds) { return rounded(seconds * 1e3, 10); };
  Json out = {{"time", time},
              {"id", request.id},
              {"client", request.peer},
              {"method", request.method.empty() ? "-" : request.method},
              {"route", request.path.empty() ? "-" : request.path.substr(0, kRouteMax)},
              {"status", exchange.status() == 0 ? 499 : exchange.status()},
              {"ms", ms(exchange.age_s())}};
  if (exchange.gone() && !exchange.finished()) out["cancelled"] = true;
  const AnswerRecord& record = exchange.record();
  if (record.model.empty()) return out;
  out["model"] = record.model;
  out["queue_ms"] = ms(record.queue_s);
  out["prompt_tokens"] = record.prompt_tokens;
  out["cached_tokens"] = record.cached_tokens;
  out["answer_tokens"] = record.answer_tokens;
  if (record.first_token_s > 0) out["first_token_ms"] = ms(record.first_token_s);
  if (record.decode_s > 0) {
    const double rate = static_cast<double>(record.decode_tokens) / record.decode_s;
    out["tokens_per_s"] = rounded(rate, 10);
  }
  return out;
}

}  // namespace

std::string log_line(const Exchange& exchange, LogFormat format, const std::string& time) {
  const Json all = fields(exchange, time);
  if (format == LogFormat::kJson) return dump(all) + "\n";
  std::string line;
  for (const auto& [name, value] : all.items()) {
    // JSON's escapes keep a client's bytes from making lines or colours of their own.
    const std::string text = dump(value);
    const bool plain = value.is_string() && text.find_first_of(" \\=") == std::string::npos;
    line += (line.empty() ? "" : " ") + name + "=";
    line += plain ? text.substr(1, text.size() - 2) : text;
  }
  return line + "\n";
}

std::function<void(const Exchange&)> request_log(LogFormat format) {
  if (format == LogFormat::kNone) return nullptr;
  return [format](const Exchange& exchange) {
    const std::string line = log_line(exchange, format, now_text());
    // One call, so that lines of several threads do not mix.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  };
}

}  // namespace nibble::cli
