// What goes on while a model is loaded, which takes as long as the test wants: the server's own
// parts, with a gate where the file is opened.
#include <map>

#include "runtime/model_impl.h"
#include "tests/serve/client.h"
#include "tools/nibble/serve/api.h"

namespace nibble::test {
namespace {

namespace fs = std::filesystem;

// Models wait here, by their files' names.
class Gate {
 public:
  Result<std::shared_ptr<Model>> open(std::shared_ptr<Engine> engine, const std::string& path,
                                      const LoadOptions& options) {
    const std::string name = fs::path(path).stem();
    std::unique_lock lock(mutex_);
    ++opened_[name];
    changed_.notify_all();
    changed_.wait(lock, [&] { return !closed_; });
    if (broken_) return Error{ErrorCode::kData, path + ": broken on purpose"};
    lock.unlock();
    return Model::load(std::move(engine), path, options);
  }
  void set(bool closed, bool broken = false) {
    const std::lock_guard lock(mutex_);
    closed_ = closed;
    broken_ = broken;
    changed_.notify_all();
  }
  bool wait_for(const std::string& name, int times) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs),
                             [&] { return opened_[name] >= times; });
  }
  int opened(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return opened_[name];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> opened_;
  bool closed_ = true;
  bool broken_ = false;
};

const char* kStories = "stories";

class LoadingTest : public testing::Test {
 protected:
  // `stories` is loaded, `slow` and `other` are in the store.
  void SetUp() override {
    fs::create_directories(home_.file("store/models"));
    for (const char* name : {"slow", "other"}) {
      fs::copy(kModel, home_.file("store/models/") + name + ".gguf");
    }
    auto engine = Engine::create({.threads = 1, .isa = "scalar"});  // slow
    ASSERT_TRUE(engine) << engine.error().message;
    auto model = Model::load(*engine, kModel, {});
    ASSERT_TRUE(model) << model.error().message;
    cli::ServiceOptions options;
    options.batch.context = 512;
    options.batch.sequences = 2;
    options.open = [this](std::shared_ptr<Engine> on, const std::string& path,
                          const LoadOptions& how) { return gate_.open(std::move(on), path, how); };
    auto service = cli::ModelService::create(kStories, *model, options);
    ASSERT_TRUE(service) << service.error().message;
    std::vector<std::unique_ptr<cli::ModelService>> services;
    services.push_back(std::move(*service));
    hub::Places places;
    places.store = home_.file("store");
    api_ = std::make_unique<cli::Api>(
        std::make_unique<cli::ModelSet>(std::move(services),
                                        cli::ModelSet::ByName{*engine, options, places}),
        cli::ApiOptions{});
    auto server = cli::HttpServer::listen(
        "127.0.0.1", 0, {},
        {[this](const cli::HttpRequest& request) { return api_->judge(request); },
         [this](std::shared_ptr<cli::Exchange> exchange) { api_->handle(std::move(exchange)); },
         [](int status, const std::string& message) {
           return cli::HttpResponse{status, "text/plain", message, {}};
         }});
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    loop_ = std::thread([this] { server_->run(); });
  }
  void TearDown() override {
    gate_.set(/*closed=*/false);
    if (server_ != nullptr) server_->stop();
    if (loop_.joinable()) loop_.join();
    api_ = nullptr;
  }

  Reply ask(const std::string& bytes) const {
    Client client(server_->port());
    client.send(bytes);
    return client.reply();
  }
  // A client that has asked the model for a story.
  std::unique_ptr<Client> asks(const std::string& model, const Json& more = Json::object()) const {
    auto client = std::make_unique<Client>(server_->port());
    client->send(post("/v1/completions", story(model, more)));
    return client;
  }
  static std::string story(const std::string& model, const Json& more = Json::object()) {
    Json body = {{"model", model}, {"prompt", "Once upon a time"}, {"max_tokens", 8}, {"seed", 7}};
    body.update(more);
    return body.dump();
  }
  bool is_idle() const {
    for (int i = 0; i < kPatienceMs / 10; ++i) {
      size_t busy = 0;
      for (const auto* service : api_->models().services()) {
        busy += service->active() + service->waiting();
      }
      if (busy == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  Folder home_;
  Gate gate_;
  std::unique_ptr<cli::Api> api_;
  std::unique_ptr<cli::HttpServer> server_;
  std::thread loop_;
};

TEST_F(LoadingTest, OthersAreAnsweredMeanwhile) {
  const auto stream = asks(kStories, {{"stream", true}, {"ignore_eos", true}, {"max_tokens", 400}});
  ASSERT_TRUE(stream->expect("data: "));
  const auto slow = asks("slow");
  const auto vectors = std::make_unique<Client>(server_->port());
  vectors->send(post("/v1/embeddings", Json{{"model", "slow"}, {"input", "A cat"}}.dump()));
  ASSERT_TRUE(gate_.wait_for("slow", 1));
  EXPECT_EQ(ask(get("/health")).status, 200);
  EXPECT_EQ(ask(get("/metrics")).status, 200);
  EXPECT_EQ(ask(get("/props")).json()["models"].size(), 3u);
  EXPECT_EQ(ask(get("/v1/models")).json()["data"].size(), 3u);
  EXPECT_EQ(ask(get("/api/tags")).json()["models"].size(), 3u);
  EXPECT_EQ(ask(post("/tokenize", R"({"model":"stories","content":"A cat"})")).status, 200);
  EXPECT_EQ(ask(post("/v1/embeddings", R"({"model":"stories","input":"A cat"})")).status, 200);
  const Reply told = asks(kStories)->reply();
  EXPECT_EQ(told.status, 200) << told.body;
  EXPECT_TRUE(stream->expect("[DONE]"));
  EXPECT_EQ(gate_.opened("slow"), 1);
  EXPECT_TRUE(slow->received().empty());
  gate_.set(/*closed=*/false);
  const Reply late = slow->reply();
  EXPECT_EQ(late.status, 200) << late.body;
  EXPECT_EQ(late.json()["choices"], told.json()["choices"]);
  EXPECT_EQ(vectors->reply().status, 200);
}

TEST_F(LoadingTest, WhoWantsTheSameLoadsItOnce) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(asks("slow"));
  Client chat(server_->port());
  chat.send(post("/api/chat", R"({"model":"slow"})"));
  ASSERT_TRUE(gate_.wait_for("slow", 1));
  gate_.set(/*closed=*/false);
  for (const auto& client : clients) EXPECT_EQ(client->reply().status, 200);
  EXPECT_EQ(chat.reply().json()["done_reason"], "load");
  EXPECT_EQ(gate_.opened("slow"), 1);
}

TEST_F(LoadingTest, WhoLeavesMeanwhileIsForgotten) {
  auto first = asks("slow");
  ASSERT_TRUE(gate_.wait_for("slow", 1));
  first = nullptr;
  auto gone = asks("other");
  auto stays = asks("slow");
  EXPECT_EQ(ask(get("/health")).status, 200);  // the loop has seen all of them
  gone = nullptr;
  while (server_->connections() > 1) usleep(1000);
  gate_.set(/*closed=*/false);
  EXPECT_EQ(stays->reply().status, 200);
  EXPECT_EQ(gate_.opened("other"), 0) << "loaded for nobody";
  EXPECT_TRUE(is_idle());
}

TEST_F(LoadingTest, AFailureIsToldToAllWhoWait) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(asks("slow"));
  ASSERT_TRUE(gate_.wait_for("slow", 1));
  EXPECT_EQ(ask(get("/health")).status, 200);
  // All of them are at the desk: what is asked behind them is answered.
  EXPECT_EQ(asks(kStories)->reply().status, 200);
  gate_.set(/*closed=*/false, /*broken=*/true);
  for (const auto& client : clients) {
    const Reply reply = client->reply();
    EXPECT_EQ(reply.status, 500);
    EXPECT_NE(reply.body.find("broken on purpose"), std::string::npos) << reply.body;
  }
  EXPECT_EQ(gate_.opened("slow"), 1);
  // Later it is tried again.
  gate_.set(/*closed=*/false);
  EXPECT_EQ(asks("slow")->reply().status, 200);
  EXPECT_EQ(gate_.opened("slow"), 2);
}

// And do not go on for someone who has gone.
TEST_F(LoadingTest, EmbeddingsDoNotHoldUpOthers) {
  Json body = {{"model", kStories}, {"input", Json::array()}};
  for (int i = 0; i < 256; ++i) {
    std::string text;
    for (int word = 0; word < 200; ++word) text += " cat";
    body["input"].push_back(text);
  }
  auto long_one = std::make_unique<Client>(server_->port());
  long_one->send(post("/v1/embeddings", body.dump()));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(asks(kStories)->reply().status, 200);
  EXPECT_FALSE(long_one->receive(0));
  EXPECT_FALSE(long_one->ended());
  long_one = nullptr;
  const Reply reply = ask(post("/v1/embeddings", R"({"model":"stories","input":"A cat"})"));
  EXPECT_EQ(reply.status, 200) << reply.body;
}

// A request is read while its model is there, which has to go before its prompt is queued.
TEST_F(LoadingTest, AModelThatWentMeanwhileComesAgain) {
  gate_.set(/*closed=*/false);
  std::atomic<bool> over{false};
  std::thread unloader([&] {
    while (!over) {
      for (auto* service : api_->models().services()) service->unload_if_idle();
      usleep(300);
    }
  });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(asks("other")->reply().status, 200);
  over = true;
  unloader.join();
  EXPECT_TRUE(is_idle());
}

}  // namespace
}  // namespace nibble::test
