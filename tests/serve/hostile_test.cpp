// Requests that mean harm, against the program itself: each gets its answer, and the server goes
// on.
#include <fstream>
#include <list>
#include <sstream>

#include "tests/serve/client.h"

namespace nibble::test {
namespace {

constexpr const char* kText = "/v1/completions";
const Json kStory = {{"prompt", "Once upon a time"}, {"max_tokens", 8}, {"seed", 7}};
// Goes on until someone stops it.
const Json kEndless = {{"prompt", "Once upon a time"}, {"ignore_eos", true}, {"stream", true}};

class HostileTest : public testing::Test {
 protected:
  // Slow, so that what goes on until someone stops it does.
  static void SetUpTestSuite() {
    server_ = new Server({"--parallel", "2", "--queue", "3"}, {{"NIBBLE_ISA", "scalar"}});
  }
  static void TearDownTestSuite() { delete std::exchange(server_, nullptr); }
  void SetUp() override { ASSERT_NE(server_->port(), 0) << server_->said(); }
  // Whatever was sent: the next client is served.
  void TearDown() override { EXPECT_EQ(server_->post(kText, kStory).status, 200); }

  static Server* server_;
};
Server* HostileTest::server_ = nullptr;

std::string with_host(const std::string& host, const std::string& more = {}) {
  return "GET /v1/models HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n";
}

TEST_F(HostileTest, NamesThatAreNotOursAreRefused) {
  for (const char* host : {"evil.example", "evil.example:8080", "localhost.evil.example",
                           "127.0.0.1.evil.example", "", "evil@localhost.x", "[::1].evil"}) {
    EXPECT_EQ(server_->ask(with_host(host)).status, 403) << host;
  }
  for (const char* host : {"localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080",
                           "192.168.1.5", "app.localhost"}) {
    EXPECT_EQ(server_->ask(with_host(host)).status, 200) << host;
  }
}

TEST_F(HostileTest, PagesOfOtherSitesAreRefused) {
  for (const char* origin : {"https://evil.example", "null", "http://localhost:3000",
                             "http://localhost.evil.example", "file://"}) {
    const Reply reply =
        server_->ask(with_host("localhost:8080", std::string("Origin: ") + origin + "\r\n"));
    EXPECT_EQ(reply.status, 403) << origin;
    EXPECT_FALSE(reply.has("Access-Control"));
  }
  EXPECT_EQ(server_->ask(with_host("localhost:8080", "Origin: http://localhost:8080\r\n")).status,
            200);
  EXPECT_EQ(server_
                ->ask("OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                      "https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n")
                .status,
            403);
}

TEST_F(HostileTest, OtherTypesThanJsonAreRefused) {
  for (const char* type : {"text/plain", "multipart/form-data; boundary=x", "application/jsonx"}) {
    EXPECT_EQ(
        server_->ask(post(kText, kStory.dump(), std::string("Content-Type: ") + type + "\r\n"))
            .status,
        415)
        << type;
  }
  // What a form of a page can send, from a page; and the same from curl.
  const std::string form = "Content-Type: application/x-www-form-urlencoded\r\n";
  EXPECT_EQ(server_->ask(post(kText, kStory.dump(), form + "Origin: http://localhost\r\n")).status,
            415);
  EXPECT_EQ(server_->ask(post(kText, kStory.dump(), form)).status, 200);
}

TEST_F(HostileTest, LargeBodiesAreRefusedUnread) {
  Client client(server_->port());
  client.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
      "application/json\r\nContent-Length: 100000000000\r\n\r\n");
  const Reply reply = client.reply();
  EXPECT_EQ(reply.status, 413);
  EXPECT_TRUE(reply.closed);
  Client chunked(server_->port());
  chunked.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
      "application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n");
  EXPECT_EQ(chunked.reply().status, 413);
}

TEST_F(HostileTest, LargeHeadsAreRefused) {
  EXPECT_EQ(server_->ask(get("/health", "X: " + std::string(9000, 'x') + "\r\n")).status, 431);
  EXPECT_EQ(server_->ask(get("/" + std::string(9000, 'x'))).status, 414);
  std::string many;
  for (int i = 0; i < 200; ++i) many += "X" + std::to_string(i) + ": y\r\n";
  EXPECT_EQ(server_->ask(get("/health", many)).status, 431);
  Client endless(server_->port());  // no end of line at all
  for (int i = 0; i < 64 && endless.send(std::string(1024, 'a')); ++i) {
  }
  EXPECT_EQ(endless.reply().status, 414);
}

TEST_F(HostileTest, AmbiguousRequestsAreRefusedAndClosed) {
  const std::string head =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/json\r\n";
  const std::string wrong[] = {
      "GET /health HTTP/1.1\nHost: localhost\n\n",
      "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
      "GET /health HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n",
      "GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n",
      "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
      "GET /health HTTP/1.1\r\n\r\n",
      "GET /health HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
      std::string("GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 49),
      "GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "\x16\x03\x01\x02\r\n\r\n",
      head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
      head + "Content-Length: +5\r\n\r\nabcde",
      head + "Content-Length: -5\r\n\r\nabcde",
      head + "Content-Length: 0x5\r\n\r\nabcde",
      head + "Content-Length: 18446744073709551617\r\n\r\na",
      head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx\r\n",
      head + "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
      head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
  };
  for (const std::string& request : wrong) {
    Client client(server_->port());
    // What follows a request that is not understood is not one either.
    client.send(request + get("/health"));
    const Reply reply = client.reply();
    EXPECT_EQ(reply.status, 400) << request;
    EXPECT_TRUE(reply.closed) << request;
    EXPECT_EQ(client.received(), "") << request;
  }
  EXPECT_EQ(server_->ask(head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").status, 501);
  EXPECT_EQ(server_->ask("GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n").status, 505);
  EXPECT_EQ(server_->ask(get("/health", "Expect: miracles\r\n")).status, 417);
}

TEST_F(HostileTest, ChunksAndContinuationAreUnderstood) {
  const std::string body = kStory.dump();
  char size[16];
  std::snprintf(size, sizeof(size), "%zX", body.size() - 1);
  Client client(server_->port());
  client.send(
      std::string("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                  "application/json\r\nTransfer-Encoding: chunked\r\nExpect: "
                  "100-continue\r\n\r\n"));
  EXPECT_EQ(client.reply(kPatienceMs, false).status, 100);
  client.send("1\r\n" + body.substr(0, 1) + "\r\n" + size + ";x=y\r\n" + body.substr(1) +
              "\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(client.reply().status, 200);
}

TEST_F(HostileTest, BodiesThatAreNoJsonAreRefused) {
  const auto refused = [&](const std::string& body, const std::string& said) {
    const Reply reply = server_->ask(post(kText, body));
    EXPECT_EQ(reply.status, 400) << body.substr(0, 100);
    EXPECT_NE(reply.body.find(said), std::string::npos) << reply.body;
  };
  refused("", "not JSON");
  refused("{", "not JSON");
  refused("[]", "not a JSON object");
  refused("\"x\"", "not a JSON object");
  refused("{\"prompt\": \"\xff\xfe\"}", "UTF-8");
  refused("{\"prompt\": \"\xed\xa0\x80\"}", "UTF-8");
  refused("{\"prompt\": \"\\ud800\"}", "not JSON");
  refused("{\"temperature\": 1e999}", "out of range");
  refused("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", "64 deep");
  refused(std::string(1'000'000, '['), "64 deep");
  refused("{\"a\":" + std::string(300'000, '{'), "not JSON");
}

TEST_F(HostileTest, OtherPathsAndMethodsAreNamed) {
  for (const char* path : {"/nothing", "/v1", "/../../etc/passwd", "/%2e%2e/etc/passwd", "//health",
                           "/health/", "/v1/models/%2e%2e%2f", "/v1/models/../../x"}) {
    const Reply reply = server_->ask(get(path));
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.body.find("root:"), std::string::npos);
  }
  const Reply reply = server_->ask("DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(reply.status, 405);
  EXPECT_TRUE(reply.has("Allow: GET"));
  EXPECT_EQ(server_->get(kText).status, 405);
}

TEST_F(HostileTest, AClientThatLeavesFreesItsPlace) {
  for (const bool streams : {true, false}) {
    Json body = kEndless;
    body["stream"] = streams;
    Client client(server_->port());
    client.send(post(kText, body.dump()));
    ASSERT_TRUE(server_->wait_for_metric("nibble_active", 1));
    if (streams) {
      ASSERT_TRUE(client.expect("data: "));
    }
    client.close();
    EXPECT_TRUE(server_->wait_for_metric("nibble_active", 0));
  }
  // Two answers and as many that wait: all are gone, whether begun or not.
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    clients.back()->send(post(kText, kEndless.dump()));
  }
  ASSERT_TRUE(server_->wait_for_metric("nibble_queue_length", 2));
  clients.clear();
  EXPECT_TRUE(server_->wait_for_metric("nibble_active", 0));
  EXPECT_TRUE(server_->wait_for_metric("nibble_queue_length", 0));
}

TEST_F(HostileTest, AFullQueueRefusesAndHealthStaysFast) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    clients.back()->send(post(kText, kEndless.dump()));
    ASSERT_TRUE(server_->wait_for_metric("nibble_queue_length", std::max(0, i - 1)));
  }
  const Reply reply = server_->post(kText, kStory);
  EXPECT_EQ(reply.status, 429);
  EXPECT_TRUE(reply.has("Retry-After: "));
  EXPECT_EQ(reply.json()["error"]["type"], "rate_limit_error");
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(server_->get("/health").status, 200);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  }
  clients.clear();
  EXPECT_TRUE(server_->wait_for_metric("nibble_queue_length", 0));
  EXPECT_TRUE(server_->wait_for_metric("nibble_active", 0));
}

TEST_F(HostileTest, AnIdleServerUsesNoTime) {
  ASSERT_TRUE(server_->wait_for_metric("nibble_active", 0));
  const Client kept(server_->port());
  const auto cpu = [&] {
    std::ifstream file("/proc/" + std::to_string(server_->child()) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    long user = 0, kernel = 0;
    fields >> user >> kernel;
    return user + kernel;
  };
  usleep(200'000);  // threads go to rest
  const long before = cpu();
  usleep(1'500'000);
  EXPECT_LE(cpu() - before, 1) << "in hundredths of a second";
}

// Pages that are gone: each answer is an error that says so, and the server lives.
TEST(ServerLoses, AModelThatIsCutShortWhileServed) {
  const Folder folder;
  const std::string model = folder.file("cut.gguf");
  std::filesystem::copy_file(kModel, model);
  Server server({}, {}, model);
  ASSERT_NE(server.port(), 0) << server.said();
  EXPECT_EQ(server.post(kText, kStory).status, 200);
  std::filesystem::resize_file(model, 100'000);
  for (int i = 0; i < 2; ++i) {
    const Reply lost = server.post(kText, kStory);
    EXPECT_EQ(lost.status, 500);
    EXPECT_NE(lost.body.find("cut.gguf: could not be read at byte"), std::string::npos)
        << lost.body;
    EXPECT_EQ(lost.json()["error"]["type"], "server_error");
  }
  EXPECT_EQ(server.get("/health").status, 200);
  EXPECT_EQ(server.stop(), 0);
}

TEST(ServerStops, AndFinishesWhatItHasBegun) {
  Server server({"--parallel", "1"}, {{"NIBBLE_ISA", "scalar"}});
  ASSERT_NE(server.port(), 0) << server.said();
  Client first(server.port());
  Json body = kEndless;
  body["max_tokens"] = 300;
  first.send(post(kText, body.dump()));
  ASSERT_TRUE(first.expect("data: "));
  Client waits(server.port());
  waits.send(post(kText, kStory.dump()));
  Client idle(server.port());
  idle.send(get("/health"));
  EXPECT_EQ(idle.reply().status, 200);
  ASSERT_TRUE(server.wait_for_metric("nibble_queue_length", 1));
  Client half(server.port());
  half.send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n");
  usleep(50'000);
  kill(server.child(), SIGTERM);
  usleep(50'000);
  half.send("Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(half.reply().status, 503);
  EXPECT_FALSE(idle.receive());
  EXPECT_TRUE(idle.ended());
  EXPECT_FALSE(Client(server.port()).connected());
  EXPECT_TRUE(first.expect("[DONE]"));
  EXPECT_EQ(waits.reply().status, 200);
  EXPECT_EQ(server.wait(), 0);
}

TEST(ServerStops, AtOnceWhenToldTwice) {
  Server server({"--parallel", "1", "--queue", "8"}, {{"NIBBLE_ISA", "scalar"}});
  ASSERT_NE(server.port(), 0) << server.said();
  std::list<Client> clients;  // more than is answered between the two
  for (int i = 0; i < 8; ++i)
    clients.emplace_back(server.port()).send(post(kText, kEndless.dump()));
  ASSERT_TRUE(clients.front().expect("data: "));
  ASSERT_TRUE(server.wait_for_metric("nibble_queue_length", 7));
  kill(server.child(), SIGINT);
  usleep(20'000);
  EXPECT_EQ(server.stop(SIGINT), 130);
}

TEST(ServerStarts, OrSaysWhyNot) {
  Server server;
  ASSERT_NE(server.port(), 0) << server.said();
  const Outcome busy = run({"serve", kModel, "--port", std::to_string(server.port())});
  EXPECT_EQ(busy.code, 69);
  EXPECT_NE(busy.err.find("in use"), std::string::npos) << busy.err;
  EXPECT_NE(busy.err.find("--port"), std::string::npos);
  const Outcome name = run({"serve", kModel, "--host", "example.invalid"});
  EXPECT_EQ(name.code, 64);
  EXPECT_NE(name.err.find("not an IP address"), std::string::npos) << name.err;
  EXPECT_EQ(run({"serve", "gone.gguf", "--port", "0"}).code, 66);
  EXPECT_EQ(run({"serve", "--port", "65536"}).code, 64);
  EXPECT_EQ(run({"serve", kModel, kModel, "--port", "0"}).code, 64);
  EXPECT_EQ(run({"serve", kModel, "--port", "0", "-c", "4000"}).code, 64);
}

TEST(ServerKey, IsAskedOfAllButHealth) {
  Server server({}, {{"NIBBLE_API_KEY", "secret"}});
  ASSERT_NE(server.port(), 0) << server.said();
  EXPECT_EQ(server.get("/health").status, 200);
  const Reply reply = server.get("/v1/models");
  EXPECT_EQ(reply.status, 401);
  EXPECT_TRUE(reply.has("WWW-Authenticate"));
  for (const char* key : {"Bearer wrong", "Bearer secret2", "Bearer secre", "secret", "Bearer "}) {
    EXPECT_EQ(server.ask(get("/v1/models", std::string("Authorization: ") + key + "\r\n")).status,
              401)
        << key;
  }
  EXPECT_EQ(server.ask(get("/v1/models", "Authorization: Bearer secret\r\n")).status, 200);
}

TEST(ServerKeepsModels, AsLongAsTheyAreUsed) {
  Server server({"--keep-alive", "1"});
  ASSERT_NE(server.port(), 0) << server.said();
  const Reply before = server.post(kText, kStory);
  EXPECT_TRUE(server.wait_for_metric("nibble_model_memory_bytes", 0));
  EXPECT_EQ(server.get("/v1/models").json()["data"][0]["loaded"], false);
  const Reply after = server.post(kText, kStory);
  EXPECT_EQ(after.json()["choices"], before.json()["choices"]);
  EXPECT_EQ(server.metric("nibble_model_loads_total"), 1);
}

}  // namespace
}  // namespace nibble::test
