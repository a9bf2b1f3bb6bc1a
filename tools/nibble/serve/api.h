// The routes of nibble serve, and what stands before them: who may ask (Host, Origin, key), what is
// asked (path, method, type), and the threads that answer.
//
// The loop's thread judges and answers /health and /metrics; one more reads requests (JSON, chat
// template, tokens), so that a large one delays neither those nor a step; each model's thread
// evaluates and writes what comes. Read next: the routes, openai_chat.cpp first.
#pragma once

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
#include "tools/nibble/serve/service.h"

namespace nibble::cli {

struct ApiOptions {
  std::string api_key;                   // empty: none is asked for
  std::vector<std::string> allow_hosts;  // names of this server, beside IP addresses and localhost
};

class Api {
 public:
  Api(std::vector<std::unique_ptr<ModelService>> models, const ApiOptions& options);
  ~Api();

  // For the server; both thread-safe.
  std::optional<HttpResponse> judge(const HttpRequest& request) const;
  void handle(std::shared_ptr<Exchange> exchange);

  // From now on /health says so.
  void set_draining() { draining_ = true; }

  const std::vector<std::unique_ptr<ModelService>>& models() const { return models_; }
  // By the request's field "model"; without it the only one. Throws ApiError 404 with those there
  // are.
  ModelService& find_model(const std::optional<std::string>& name) const;

  // What this machine reads from memory, for the page's share of it: measured once, while nobody is
  // answered (0: not yet, below: it cannot be). For routes.
  double memory_gb_per_s() const;

 private:
  struct Route;
  static const std::vector<Route>& routes();

  void answer(const std::shared_ptr<Exchange>& exchange);
  void read_requests();

  HttpResponse health() const;
  HttpResponse metrics() const;

  const std::vector<std::unique_ptr<ModelService>> models_;
  const ApiOptions options_;
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> requests_{0};

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Exchange>> unread_;
  bool stopping_ = false;
  mutable double memory_gb_per_s_ = 0;  // the reading thread's
  std::thread reader_;
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

void send_json(const std::shared_ptr<Exchange>& exchange, const Json& json);
// Loads it if it is not. Throws ApiError.
std::shared_ptr<Model> require_model(ModelService& service);

}  // namespace nibble::cli
