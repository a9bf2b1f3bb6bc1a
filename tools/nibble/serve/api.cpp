#include "tools/nibble/serve/api.h"

#include <algorithm>
#include <utility>

#include "runtime/machine/probe.h"
#include "runtime/model_impl.h"
#include "tools/nibble/serve/guard.h"
#include "tools/nibble/serve/web_page.h"

namespace nibble::cli {
namespace {

constexpr size_t kWaitingMax = 256;  // requests before a desk

}  // namespace

struct Api::Route {
  const char* method;
  const char* path;
  RouteHandler handler;  // null: answered by the loop itself
};

const std::vector<Api::Route>& Api::routes() {
  static const std::vector<Route> all = {
      {"GET", "/health", nullptr},
      {"GET", "/metrics", nullptr},
      {"GET", "/v1/models", list_models},
      {"GET", "/v1/models/", show_model},  // a name follows
      {"POST", "/v1/chat/completions", chat_completions},
      {"POST", "/v1/completions", completions},
      {"POST", "/v1/embeddings", embeddings},
      {"POST", "/v1/responses", responses},
      {"GET", "/api/version", ollama_version},
      {"GET", "/api/tags", ollama_tags},
      {"GET", "/api/ps", ollama_ps},
      {"POST", "/api/show", ollama_show},
      {"POST", "/api/chat", ollama_chat},
      {"POST", "/api/generate", ollama_generate},
      {"POST", "/api/embed", ollama_embed},
      {"POST", "/api/pull", ollama_pull},
      {"POST", "/tokenize", tokenize},
      {"POST", "/detokenize", detokenize},
      {"GET", "/props", props},
  };
  return all;
}

namespace {

bool matches(std::string_view path, std::string_view route) {
  if (route.ends_with('/')) return path.size() > route.size() && path.starts_with(route);
  return path == route;
}

std::string_view plain_method(const HttpRequest& request) {
  return request.method == "HEAD" ? "GET" : std::string_view(request.method);
}

}  // namespace

Api::Api(std::unique_ptr<ModelSet> models, const ApiOptions& options)
    : models_(std::move(models)),
      options_(options),
      pulls_(options.pull ? std::make_unique<Pulls>(*options.pull, options.load) : nullptr) {
  const std::lock_guard lock(mutex_);  // which they wait for: at() looks at all their threads
  for (Worker& worker : workers_) worker.thread = std::thread([this, &worker] { work(worker); });
}

Api::~Api() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  for (Worker& worker : workers_) worker.wake.notify_one();
  for (Worker& worker : workers_) worker.thread.join();
}

void Api::set_draining() {
  draining_ = true;
  if (pulls_ != nullptr) pulls_->stop();
}

Pulls& Api::pulls() const {
  if (pulls_ == nullptr) throw ApiError{403, options_.no_pull};
  return *pulls_;
}

std::optional<HttpResponse> Api::judge(const HttpRequest& request) const {
  const auto refused = [&](ApiError error) { return error_response(error, request.path); };
  if (!is_allowed_host(request, options_.allow_hosts)) {
    return refused({403, "the Host '" + *request.header("host") +
                             "' is not this server's; start it with --allow-host NAME if it is"});
  }
  if (!is_allowed_origin(request)) {
    return refused({403, "pages of '" + *request.header("origin") + "' may not use this server"});
  }
  std::string allowed;
  bool found = false;
  const bool is_page = is_web_path(request.path);
  if (is_page) {
    found = plain_method(request) == "GET";
    allowed = "GET";
  }
  for (const Route& route : routes()) {
    if (!matches(request.path, route.path)) continue;
    found |= plain_method(request) == route.method;
    allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
  }
  if (allowed.empty())
    return refused({404, "there is no " + request.path.substr(0, 100) + " here"});
  if (!found) {
    HttpResponse response =
        refused({405, request.path + " takes " + allowed + ", not " + request.method});
    response.headers.emplace_back("Allow", allowed);
    return response;
  }
  if (request.path != "/health" && !is_page && !options_.api_key.empty() &&
      !has_key(request, options_.api_key)) {
    return refused({401,
                    "the API key is missing or wrong; send Authorization: Bearer KEY",
                    {},
                    "invalid_api_key"});
  }
  if (request.method == "POST" && !is_json(request)) {
    return refused({415, "the body must be JSON; send Content-Type: application/json"});
  }
  return std::nullopt;
}

void Api::handle(std::shared_ptr<Exchange> exchange) {
  ++requests_;
  const HttpRequest& request = exchange->request();
  if (request.path == "/health") return exchange->send(health());
  if (request.path == "/metrics") return exchange->send(metrics());
  if (is_web_path(request.path)) return exchange->send(web_file(request.path));
  give(Desk::kReading, std::move(exchange));
}

void Api::give(Desk desk, std::shared_ptr<Exchange> exchange) {
  {
    const std::lock_guard lock(mutex_);
    Worker& worker = workers_[static_cast<size_t>(desk)];
    if (worker.queue.size() < kWaitingMax) {
      worker.queue.push_back(std::move(exchange));
      worker.wake.notify_one();
      return;
    }
  }
  exchange->send(error_response({429, "too many requests wait; try again later", {}, "queue_full"},
                                exchange->request().path));
}

void Api::work(Worker& worker) {
  std::unique_lock lock(mutex_);
  while (true) {
    worker.wake.wait(lock, [&] { return stopping_ || !worker.queue.empty(); });
    if (stopping_) return;
    std::shared_ptr<Exchange> exchange = std::move(worker.queue.front());
    worker.queue.pop_front();
    worker.busy = true;
    lock.unlock();
    if (!exchange->gone()) answer(exchange);
    exchange = nullptr;
    lock.lock();
    worker.busy = false;
  }
}

void Api::at(Desk desk) const {
  const Worker& worker = workers_[static_cast<size_t>(desk)];
  if (worker.thread.get_id() != std::this_thread::get_id()) throw Elsewhere{desk};
}

std::shared_ptr<Model> Api::load(ModelService& service, const Exchange& exchange) const {
  if (auto model = service.loaded()) return model;
  at(Desk::kLoading);
  return models_->load(service, exchange.start());
}

bool Api::is_loading() const {
  const std::lock_guard lock(mutex_);
  const Worker& worker = workers_[static_cast<size_t>(Desk::kLoading)];
  return (worker.busy || !worker.queue.empty()) &&
         worker.thread.get_id() != std::this_thread::get_id();
}

void Api::answer(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  try {
    for (const Route& route : routes()) {
      if (plain_method(request) != route.method || !matches(request.path, route.path)) continue;
      return route.handler(*this, exchange);
    }
  } catch (const Elsewhere& elsewhere) {
    give(elsewhere.desk, exchange);
  } catch (const ApiError& error) {
    exchange->send(error_response(error, request.path));
  } catch (const std::bad_alloc&) {
    exchange->send(error_response({503, "out of memory"}, request.path));
  } catch (const std::exception& error) {
    exchange->send(error_response({500, std::string("bug: ") + error.what()}, request.path));
  }
}

double Api::memory_gb_per_s() const {
  const std::vector<ModelService*> models = models_->services();
  const bool idle = std::all_of(models.begin(), models.end(), [](const ModelService* model) {
    return model->active() + model->waiting() == 0;
  });
  std::shared_ptr<Model> loaded;
  for (const ModelService* model : models) {
    if (loaded == nullptr) loaded = model->loaded();
  }
  if (memory_gb_per_s_ == 0 && idle && loaded != nullptr && !is_loading()) {
    at(Desk::kLoading);  // nothing is loaded meanwhile, and requests are read
    const auto measured = probe_read_gb_per_s(loaded->impl().engine->threads());
    memory_gb_per_s_ = measured ? *measured : -1;
  }
  return memory_gb_per_s_;
}

HttpResponse Api::health() const {
  HttpResponse response;
  response.status = draining_ ? 503 : 200;
  response.body = draining_ ? R"({"status":"shutting down"})" : R"({"status":"ok"})";
  return response;
}

void send_json(const std::shared_ptr<Exchange>& exchange, const Json& json) {
  HttpResponse response;
  response.body = dump(json);
  exchange->send(response);
}

}  // namespace nibble::cli
