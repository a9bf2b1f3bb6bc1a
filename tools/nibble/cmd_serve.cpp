// nibble serve: answers requests over HTTP. Read next: serve/api.h (the routes), serve/service.h (a
// model and its queue), serve/http_server.h (the sockets).
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tools/nibble/builtin_model.h"
#include "tools/nibble/command.h"
#include "tools/nibble/loading.h"
#include "tools/nibble/number_options.h"
#include "tools/nibble/serve/api.h"
#include "tools/nibble/serve/request_log.h"
#include "tools/nibble/signals.h"

namespace nibble::cli {
namespace {

struct ServeChoice {
  std::vector<std::string> models;
  MachineChoice machine;
  std::string host = "127.0.0.1";
  std::optional<int64_t> port;
  std::optional<int64_t> sequences;
  std::optional<int64_t> queue;
  std::optional<int64_t> prefix_mib;
  std::optional<int64_t> keep_alive;
  bool store = false;
  std::string log_format;
  std::string prefix_folder;
  uint64_t prefix_folder_bytes = uint64_t{1} << 30;
  ApiOptions api;
};

// "models/gemma-3-1b-it-q4_0.gguf" -> "gemma-3-1b-it-q4_0"
std::string model_name(const std::string& path) {
  std::string name = path.substr(path.find_last_of('/') + 1);
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

ServiceOptions service_options(const ServeChoice& choice) {
  const SessionOptions session = choice.machine.session_options();
  ServiceOptions options;
  options.batch.context = session.context;
  options.batch.batch = session.batch;
  options.batch.kv = session.kv;
  options.batch.sequences = choice.sequences.value_or(options.batch.sequences);
  if (choice.prefix_mib)
    options.batch.prefix_bytes = static_cast<uint64_t>(*choice.prefix_mib) << 20;
  options.batch.prefix_folder = choice.prefix_folder;
  options.batch.prefix_folder_bytes = choice.prefix_folder_bytes;
  options.batch.note = [](const std::string& text) {
    std::fprintf(stderr, "nibble: note: %s\n", text.c_str());
  };
  options.load = choice.machine.load_options();
  options.queue = static_cast<size_t>(choice.queue.value_or(64));
  options.keep_alive = std::chrono::seconds(choice.keep_alive.value_or(0));
  return options;
}

Result<std::unique_ptr<ModelSet>> open_models(const ServeChoice& choice) {
  std::vector<std::string> paths = choice.models;
  if (paths.empty() && !choice.store) {
    paths.push_back(find_builtin_model());
    if (paths.front().empty()) {
      return Error{ErrorCode::kNoInput,
                   "the built-in model is missing; name one: nibble serve FILE"};
    }
    std::fputs("nibble: serving the built-in model, which tells short children's stories\n",
               stderr);
  }
  const EngineOptions machine = choice.machine.engine_options();
  LoadOptions load = choice.machine.load_options();
  std::shared_ptr<Engine> engine;
  std::vector<std::unique_ptr<ModelService>> services;
  for (const std::string& path : paths) {
    NIBBLE_TRY(LoadedModel loaded, engine == nullptr ? load_model(path, machine, load)
                                                     : load_model(path, engine, load));
    engine = loaded.engine;
    const std::string name = model_name(path);
    for (const auto& other : services) {
      if (other->name() != name) continue;
      return Error{ErrorCode::kUsage, "two of the models are called '" + name +
                                          "'; clients could not tell them apart, rename one file"};
    }
    NIBBLE_TRY(auto service, ModelService::create(name, loaded.model, service_options(choice)));
    load.reserved_bytes += service->memory_bytes();
    services.push_back(std::move(service));
  }
  if (!choice.store) return std::make_unique<ModelSet>(std::move(services));
  if (engine == nullptr) {
    NIBBLE_TRY(engine, Engine::create(machine));
    for (const std::string& note : engine->notes()) {
      std::fprintf(stderr, "nibble: note: %s\n", note.c_str());
    }
  }
  ModelSet::ByName by_name{std::move(engine), service_options(choice), hub::find_places()};
  return std::make_unique<ModelSet>(std::move(services), std::move(by_name));
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

// Whoever can ask could fill the disk.
ApiOptions api_options(const ServeChoice& choice) {
  ApiOptions options = choice.api;
  if (!choice.store) {
    options.no_pull = "this server does not download; start it with --store if it shall";
  } else if (!is_loopback(choice.host) && options.api_key.empty()) {
    options.no_pull = "this server downloads for other machines only with an --api-key";
  } else {
    options.pull = hub::pull_options_from_environment();
    options.load = choice.machine.load_options();
  }
  return options;
}

// "DIR:2G" -> DIR and its size. What stands behind the last colon and is no size belongs to the
// name.
void set_prefix_folder(const std::string& text, ServeChoice* choice) {
  choice->prefix_folder = text;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return;
  const auto bytes = parse_bytes("--prefix-dir", text.substr(colon + 1));
  if (!bytes) return;
  choice->prefix_folder = text.substr(0, colon);
  choice->prefix_folder_bytes = *bytes;
}

int serve(const ServeChoice& choice) {
  install_signal_handlers(2);
  // The address first: a port in use is told before a model is read.
  std::unique_ptr<Api> api;
  const HttpHandlers handlers = {
      [&](const HttpRequest& request) { return api->judge(request); },
      [&](std::shared_ptr<Exchange> exchange) { api->handle(std::move(exchange)); },
      [](int status, const std::string& message) {
        return error_response({status, message}, {});
      },
      request_log(choice.log_format.empty()     ? LogFormat::kNone
                  : choice.log_format == "json" ? LogFormat::kJson
                                                : LogFormat::kText)};
  auto server =
      HttpServer::listen(choice.host, static_cast<int>(choice.port.value_or(8080)), {}, handlers);
  if (!server) return fail(server.error());
  auto models = open_models(choice);
  if (!models) {
    const int code = fail(models.error());
    return signal_exit_code() != 0 ? signal_exit_code() : code;
  }
  api = std::make_unique<Api>(std::move(*models), api_options(choice));
  std::fprintf(stderr, "nibble: serving http://%s\n", (*server)->address().c_str());
  if (!is_loopback(choice.host) && choice.api.api_key.empty()) {
    std::fputs("nibble: note: others can reach this address, and no --api-key is asked for\n",
               stderr);
  }
  std::thread loop([&] { (*server)->run(); });
  while (signal_exit_code() == 0) wait_for_input(-1);
  std::fputs("nibble: stopping; answers in progress are finished (again: at once)\n", stderr);
  api->set_draining();
  (*server)->stop();
  loop.join();
  return 0;
}

void add_server_options(CLI::App* app, ServeChoice* choice) {
  app->add_option("--host", choice->host, "Address to listen on (default: 127.0.0.1)")
      ->type_name("ADDRESS");
  add_whole(app, "--port", &choice->port, {0, 65535}, "Its port; 0: any free one (default: 8080)");
  app->add_option("--api-key", choice->api.api_key,
                  "What clients must send; better in NIBBLE_API_KEY")
      ->type_name("KEY");
  app->add_option("--allow-host", choice->api.allow_hosts,
                  "A name that a proxy's clients use for it")
      ->type_name("NAME")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_whole(app, "--parallel", &choice->sequences, {1, 64},
            "Answers at once, each with a KV cache (default: 8)");
  add_whole(app, "--queue", &choice->queue, {0, 100'000}, "Prompts that may wait (default: 64)");
  add_whole(app, "--prefix-cache", &choice->prefix_mib, {0, 1 << 20},
            "MiB of prompts' beginnings kept (default: 256)");
  app->add_option_function<std::string>(
         "--prefix-dir", [choice](const std::string& text) { set_prefix_folder(text, choice); },
         "Where to keep them over restarts (default: 1G)")
      ->type_name("DIR[:SIZE]");
  add_whole(app, "--keep-alive", &choice->keep_alive, {0, 1 << 30},
            "Unload it when unused for N seconds");
  app->add_option("--log-format", choice->log_format, "Tell each request on stderr (default: none)")
      ->check(CLI::IsMember({"text", "json"}))
      ->option_text("text|json");
  app->add_flag("--store", choice->store, "Models of nibble list too; clients may pull");
}

}  // namespace

void add_serve(CLI::App& app, int* exit_code) {
  auto choice = std::make_shared<ServeChoice>();
  CLI::App* command =
      app.add_subcommand("serve", "Answer programs over HTTP: the OpenAI and Ollama APIs");
  command->add_option("MODEL", choice->models, "GGUF files or names; without one the story model");
  add_server_options(command, choice.get());
  choice->machine.add_context_option(command);
  choice->machine.add_threads_option(command);
  choice->machine.add_options(command);
  command->footer(R"(In a browser, http://localhost:8080 is a chat.

Examples:
  nibble serve gemma-3-1b-it-q4_0.gguf
  curl localhost:8080/v1/chat/completions -d \
    '{"messages": [{"role": "user", "content": "Why is the sky blue?"}]}')");
  command->callback([choice, exit_code] { *exit_code = serve(*choice); });
}

}  // namespace nibble::cli
