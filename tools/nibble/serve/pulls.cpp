#include "tools/nibble/serve/pulls.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "tools/nibble/command.h"
#include "tools/nibble/hub/caches.h"
#include "tools/nibble/pulling.h"
#include "tools/nibble/serve/api.h"
#include "tools/nibble/serve/fields.h"

namespace nibble::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kDownloadsMax = 4;
constexpr std::chrono::milliseconds kBetweenLines{100};

// The hub's name for what a client calls so: Ollama's clients write hf.co/OWNER/REPO:TYPE.
hub::ModelName parse_name(std::string text) {
  for (const std::string_view home : {"hf.co/", "huggingface.co/"}) {
    if (text.starts_with(home)) text = "hf:" + text.substr(home.size());
  }
  const auto parsed = hub::parse_model_name(text);
  if (!parsed) refuse(parsed.error().message, "model");
  if (parsed->kind == hub::ModelName::Kind::kHub) return *parsed;
  // An address could be one that only this machine can reach.
  refuse("'" + text + "' is no model of the hub; a server downloads hf:OWNER/REPO:TYPE and the " +
             "names of nibble list --all, other addresses are for nibble pull",
         "model");
}

ApiError pull_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage:
      return {400, error.message};
    case ErrorCode::kNoInput:
      return {404, error.message};
    case ErrorCode::kPermission:
      return {403, error.message};
    case ErrorCode::kUnavailable:
      return {502, error.message};
    case ErrorCode::kInterrupted:
      return {503, "the server is shutting down; what came is kept, ask again later"};
    default:
      return {500, error.message};
  }
}

Json progress_line(const hub::PullProgress& now) {
  const std::string& sum = now.sha256;
  return {{"status", "pulling " + (sum.empty() ? now.file : sum.substr(0, 12))},
          {"digest", sum.empty() ? "" : "sha256:" + sum},
          {"total", now.file_total},
          {"completed", now.file_done}};
}

}  // namespace

Pulls::~Pulls() {
  stop();
  for (Download& download : downloads_) download.thread.join();
}

void Pulls::stop() {
  stopping_ = true;
}

size_t Pulls::active() const {
  return active_;
}

void Pulls::start(const std::string& name, bool streams, std::shared_ptr<Exchange> exchange) {
  const std::string key = parse_name(name).hub.text();
  const char* offline = std::getenv("HF_HUB_OFFLINE");
  if (offline != nullptr && *offline != '\0' && std::string(offline) != "0") {
    throw ApiError{403, "HF_HUB_OFFLINE forbids to download " + name};
  }
  downloads_.remove_if([](Download& download) {
    const bool over = download.over;
    if (over) download.thread.join();
    return over;
  });
  const auto known = std::find_if(downloads_.begin(), downloads_.end(),
                                  [&](const Download& download) { return download.name == key; });
  if (known != downloads_.end() && known->join({exchange, streams})) return;
  if (active_ >= kDownloadsMax) {
    throw ApiError{429, std::to_string(kDownloadsMax) + " downloads run already; try again later"};
  }
  ++active_;
  Download& download = downloads_.emplace_back();
  download.name = key;
  download.join({std::move(exchange), streams});
  download.thread = std::thread([this, &download] {
    run(download);
    --active_;
    download.over = true;
  });
}

bool Pulls::Download::join(Listener listener) {
  const std::lock_guard lock(mutex);
  if (told) return false;
  if (listener.streams) {
    listener.exchange->begin(200, "application/x-ndjson");
    listener.exchange->write(dump({{"status", "pulling manifest"}}) + "\n");
  }
  listeners.push_back(std::move(listener));
  return true;
}

void Pulls::Download::tell(const Json& line) {
  const std::lock_guard lock(mutex);
  for (const Listener& one : listeners) {
    if (one.streams) one.exchange->write(dump(line) + "\n");
  }
}

void Pulls::Download::tell_end(const std::optional<ApiError>& error) {
  const std::lock_guard lock(mutex);
  told = true;
  const Json last = error ? ollama_error(*error) : Json{{"status", "success"}};
  for (const Listener& one : listeners) {
    if (one.streams) {
      one.exchange->write(dump(last) + "\n");
      one.exchange->finish();
    } else if (error) {
      one.exchange->send(error_response(*error, "/api/"));
    } else {
      send_json(one.exchange, last);
    }
  }
}

bool Pulls::Download::is_wanted() {
  const std::lock_guard lock(mutex);
  return std::any_of(listeners.begin(), listeners.end(),
                     [](const Listener& one) { return !one.exchange->gone(); });
}

void Pulls::run(Download& download) const {
  hub::PullOptions options = options_;
  options.cancelled = [&] { return stopping_ || !download.is_wanted(); };
  options.approve = [&](const hub::PullPlan& plan) -> Result<void> {
    NIBBLE_TRY(const std::string need, memory_need(plan, load_));
    download.tell({{"status", plan.name + ", " + human_bytes(plan.bytes) +
                                  (need.empty() ? "" : ": " + need)}});
    return {};
  };
  Clock::time_point last;
  const auto progress = [&](const hub::PullProgress& now) {
    const bool whole = now.file_done == now.file_total;
    if (!whole && Clock::now() - last < kBetweenLines) return;
    last = Clock::now();
    download.tell(progress_line(now));
  };
  std::optional<ApiError> failure;
  try {
    const auto parsed = hub::parse_model_name(download.name);
    if (!hub::find_in_caches(options.places, *parsed)) {
      const auto pulled = hub::pull_model(download.name, options, progress);
      if (!pulled) failure = pull_error(pulled.error());
    }
  } catch (const std::bad_alloc&) {
    failure = ApiError{503, "out of memory"};
  } catch (const std::exception& error) {
    failure = ApiError{500, std::string("bug: ") + error.what()};
  }
  download.tell_end(failure);
}

}  // namespace nibble::cli
