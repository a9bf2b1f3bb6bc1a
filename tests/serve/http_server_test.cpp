// The sockets alone, with limits short enough to be met: time, connections, backlog, descriptors.
#include "tools/nibble/serve/http_server.h"

#include <sys/resource.h>

#include "tests/serve/client.h"

namespace nibble::test {
namespace {

using cli::Exchange;
using cli::HttpResponse;
using cli::HttpServer;
using std::chrono::milliseconds;

class Loop {
 public:
  explicit Loop(const cli::ServerLimits& limits,
                std::function<void(std::shared_ptr<Exchange>)> handle = {}) {
    if (!handle) {
      handle = [](std::shared_ptr<Exchange> exchange) {
        exchange->send({200, "text/plain", exchange->request().body, {}});
      };
    }
    auto server =
        HttpServer::listen("127.0.0.1", 0, limits,
                           {[](const cli::HttpRequest&) { return std::nullopt; }, std::move(handle),
                            [](int status, const std::string& message) {
                              return HttpResponse{status, "text/plain", message, {}};
                            }});
    EXPECT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    thread_ = std::thread([this] { server_->run(); });
  }
  ~Loop() {
    server_->stop();
    thread_.join();
  }
  int port() const { return server_->port(); }
  HttpServer& server() { return *server_; }

 private:
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

cli::ServerLimits quick() {
  cli::ServerLimits limits;
  limits.head = limits.body = limits.idle = limits.reading = milliseconds(300);
  limits.lingering = milliseconds(100);
  limits.drain = milliseconds(300);
  return limits;
}

TEST(HttpServerTest, SlowRequestsEnd) {
  const Loop loop(quick());
  Client head(loop.port());
  Client body(loop.port());
  Client silent(loop.port());
  body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
  // A byte now and then does not help.
  for (const char c : std::string("GET / HTTP/1.1")) {
    head.send(std::string(1, c));
    body.send(std::string(1, c));
    usleep(30'000);
  }
  EXPECT_EQ(head.reply().status, 408);
  EXPECT_EQ(body.reply().status, 408);
  EXPECT_FALSE(silent.receive());
  EXPECT_TRUE(silent.ended());
  Client kept(loop.port());
  kept.send(get("/"));
  EXPECT_EQ(kept.reply().status, 200);
  EXPECT_FALSE(kept.receive());
  EXPECT_TRUE(kept.ended());
}

TEST(HttpServerTest, ConnectionsAreCounted) {
  cli::ServerLimits limits;
  limits.connections_per_peer = 5;
  Loop loop(limits);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(loop.port()));
    clients.back()->send(get("/"));
    EXPECT_EQ(clients.back()->reply().status, 200);
  }
  Client more(loop.port());
  const Reply reply = more.reply();
  EXPECT_EQ(reply.status, 503);
  EXPECT_TRUE(reply.closed);
  more.close();
  clients.pop_back();
  while (loop.server().connections() > 4) usleep(1000);
  Client again(loop.port());
  again.send(get("/"));
  EXPECT_EQ(again.reply().status, 200);
}

TEST(HttpServerTest, AClientThatDoesNotReadIsDropped) {
  cli::ServerLimits limits = quick();
  limits.pending_bytes = 64 << 10;
  std::atomic<size_t> written{0};
  std::atomic<bool> dropped{false};
  std::thread writer;
  {
    Loop loop(limits, [&](std::shared_ptr<Exchange> exchange) {
      writer = std::thread([&, exchange] {
        const std::string piece(4096, 'x');
        exchange->begin(200, "text/plain");
        while (exchange->write(piece)) {
          written += piece.size();
          usleep(100);
        }
        dropped = true;
      });
    });
    Client client(loop.port(), 4096);
    client.send(get("/"));
    for (int i = 0; i < 3000 && !dropped; ++i) usleep(10'000);
    EXPECT_TRUE(dropped);
    EXPECT_LT(written, 64u << 20);  // the kernel's own buffers, and ours
    while (loop.server().connections() > 0) usleep(1000);
    writer.join();
  }
}

TEST(HttpServerTest, AThousandRequestsInOnePieceAreAnsweredInOrder) {
  const Loop loop({});
  Client client(loop.port());
  std::string all;
  for (int i = 0; i < 1000; ++i) all += post("/", std::to_string(i));
  std::thread sender([&] { client.send(all); });
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.reply().body, std::to_string(i));
  sender.join();
}

TEST(HttpServerTest, RequestsMayComeByteByByte) {
  const Loop loop({});
  Client client(loop.port());
  for (const char c : post("/", "hello")) client.send(std::string(1, c));
  EXPECT_EQ(client.reply().body, "hello");
}

TEST(HttpServerTest, WithoutDescriptorsClientsAreToldAndLaterServed) {
#ifdef NIBBLE_SANITIZED
  GTEST_SKIP() << "the sanitizer looks at objects through a pipe, for which there is no descriptor";
#endif
  Loop loop({});
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  // The clients' sockets are there before the limit; then there is room for three of the server's.
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(std::make_unique<Client>(0));
  const int probe = open("/dev/null", O_RDONLY);
  ::close(probe);
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(probe + 3);
  setrlimit(RLIMIT_NOFILE, &few);
  for (const auto& client : clients) {
    client->connect_to(loop.port());
    client->send(get("/"));
  }
  int served = 0;
  int told = 0;
  for (const auto& client : clients) {
    const int status = client->reply(1000).status;
    served += status == 200;
    told += status == 503;
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_GE(served, 1);
  EXPECT_GE(told, 1);
  clients.clear();
  Client again(loop.port());
  again.send(get("/"));
  EXPECT_EQ(again.reply().status, 200);
}

TEST(HttpServerTest, DrainingEndsInTimeEvenIfAnAnswerDoesNot) {
  std::vector<std::shared_ptr<Exchange>> kept;  // by the loop's thread
  const auto start = std::chrono::steady_clock::now();
  {
    const Loop loop(quick(), [&](std::shared_ptr<Exchange> exchange) {
      exchange->begin(200, "text/plain");
      kept.push_back(std::move(exchange));
    });
    Client client(loop.port());
    client.send(get("/"));
    EXPECT_TRUE(client.expect("200 OK"));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_TRUE(kept[0]->gone());
  EXPECT_FALSE(kept[0]->write("x"));
}

}  // namespace
}  // namespace nibble::test
