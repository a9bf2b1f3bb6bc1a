// The routes of nibble serve, and what stands before them: who may ask (Host, Origin, key), what is
// asked (path, method, type), and the threads that answer.
//
// The loop's thread judges and answers /health and /metrics; one more reads requests (JSON, chat
// template, tokens), so that a large one delays neither those nor a step; each model's thread
// evaluates and writes what comes. Requests whose model must be loaded, and embeddings, have a
// thread of their own to wait for (Desk). Read next: the routes, openai_chat.cpp first.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tools/nibble/serve/exchange.h"
#include "tools/nibble/serve/generation.h"
#include "tools/nibble/serve/http_server.h"
#include "tools/nibble/serve/model_set.h"
#include "tools/nibble/serve/pulls.h"

namespace nibble::cli {

struct ApiOptions {
  std::string api_key;                   // empty: none is asked for
  std::vector<std::string> allow_hosts;  // names of this server, beside IP addresses and localhost
  // For /api/pull; without it clients cannot download.
  std::optional<hub::PullOptions> pull;
  LoadOptions load;     // how what is downloaded will be used
  std::string no_pull;  // then why, and what to do
};

class Api {
 public:
  Api(std::unique_ptr<ModelSet> models, const ApiOptions& options);
  ~Api();

  // For the server; both thread-safe.
  std::optional<HttpResponse> judge(const HttpRequest& request) const;
  void handle(std::shared_ptr<Exchange> exchange);

  // From now on /health says so, and downloads end.
  void set_draining();

  // For routes.
  ModelSet& models() const { return *models_; }
  // Throws ApiError 403 where clients may not download.
  Pulls& pulls() const;
  bool can_pull() const { return pulls_ != nullptr; }
  const std::string& why_no_pull() const { return options_.no_pull; }

  // The model; it is loaded at the desk for that. Throws ApiError and Elsewhere.
  std::shared_ptr<Model> load(ModelService& service, const Exchange& exchange) const;
  // What follows is done there: throws Elsewhere unless this is its thread.
  void at(Desk desk) const;

  // What this machine reads from memory, for the page's share of it: measured once, while nobody is
  // answered (0: not yet, below: it cannot be). Throws Elsewhere.
  double memory_gb_per_s() const;

 private:
  struct Route;
  static const std::vector<Route>& routes();

  // A thread and the requests that it is to answer, one after the other.
  struct Worker {
    std::deque<std::shared_ptr<Exchange>> queue;
    std::condition_variable wake;
    bool busy = false;
    std::thread thread;
  };

  void give(Desk desk, std::shared_ptr<Exchange> exchange);
  void work(Worker& worker);
  void answer(const std::shared_ptr<Exchange>& exchange);
  bool is_loading() const;

  HttpResponse health() const;
  HttpResponse metrics() const;

  const std::unique_ptr<ModelSet> models_;
  const ApiOptions options_;
  const std::unique_ptr<Pulls> pulls_;  // null: clients may not
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> requests_{0};

  mutable std::mutex mutex_;
  bool stopping_ = false;
  mutable std::atomic<double> memory_gb_per_s_{0};
  std::array<Worker, 3> workers_;  // by Desk
};

// The routes, by file. Each answers the exchange, now or later, or throws ApiError.
using RouteHandler = void (*)(const Api& api, const std::shared_ptr<Exchange>& exchange);
void chat_completions(const Api& api, const std::shared_ptr<Exchange>& exchange);
void completions(const Api& api, const std::shared_ptr<Exchange>& exchange);
void list_models(const Api& api, const std::shared_ptr<Exchange>& exchange);
void show_model(const Api& api, const std::shared_ptr<Exchange>& exchange);
void tokenize(const Api& api, const std::shared_ptr<Exchange>& exchange);
void detokenize(const Api& api, const std::shared_ptr<Exchange>& exchange);
void props(const Api& api, const std::shared_ptr<Exchange>& exchange);
void embeddings(const Api& api, const std::shared_ptr<Exchange>& exchange);
void responses(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_version(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_tags(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_ps(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_show(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_chat(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_generate(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_embed(const Api& api, const std::shared_ptr<Exchange>& exchange);
void ollama_pull(const Api& api, const std::shared_ptr<Exchange>& exchange);

void send_json(const std::shared_ptr<Exchange>& exchange, const Json& json);

}  // namespace nibble::cli
