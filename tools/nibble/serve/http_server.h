// The server's sockets: one thread and epoll. It accepts, reads requests within limits of size and
// time, gives them to a handler, sends answers as they come, and notices at once when a client
// goes. It sleeps while nothing happens.
//
// Limits are for clients that mean harm or are broken: a deadline for a request to arrive,
// connections per peer and in all, bytes that an answer may wait for its reader, and time it may.
// Read next: http_parser.h (the protocol), exchange.h (answers), api.h (the routes).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "nibble/result.h"
#include "tools/nibble/serve/exchange.h"
#include "tools/nibble/serve/http_parser.h"

namespace nibble::cli {

struct ServerLimits {
  HttpLimits http;
  size_t connections = 512;
  size_t connections_per_peer = 256;
  size_t pending_bytes = 1 << 20;              // of an answer that waits for its reader
  std::chrono::milliseconds head{10'000};      // for the head of a request to arrive
  std::chrono::milliseconds body{60'000};      // for its body
  std::chrono::milliseconds idle{75'000};      // between requests
  std::chrono::milliseconds reading{30'000};   // for the client to take something of the answer
  std::chrono::milliseconds lingering{1'000};  // for the client to close after a refusal
  std::chrono::milliseconds drain{30'000};     // for answers in progress when the server stops
};

struct HttpHandlers {
  // Judges a request by its head alone: an answer refuses it, and its body is not read.
  std::function<std::optional<HttpResponse>(const HttpRequest&)> judge;
  // Answers, now or later, from any thread; must not take long itself.
  std::function<void(std::shared_ptr<Exchange>)> handle;
  // The body of an answer by the server itself: a refused request, 503 when there is no room.
  std::function<HttpResponse(int status, const std::string& message)> error;
  // Hears of every request when its answer has ended, on any thread; may be null.
  std::function<void(const Exchange&)> log = nullptr;
};

class HttpServer {
 public:
  // `host`: an IP address or "localhost". Errors: 64 for another, 69 when the port is in use (the
  // message says what to do), 77 when it is not allowed. Port 0: any.
  static Result<std::unique_ptr<HttpServer>> listen(const std::string& host, int port,
                                                    const ServerLimits& limits,
                                                    HttpHandlers handlers);
  ~HttpServer();

  int port() const { return port_; }
  std::string address() const;  // "127.0.0.1:8080"

  // Serves until stop(): then no more is accepted, requests get 503, and answers in progress are
  // given their time to end.
  void run();
  void stop();  // from any thread
  bool stopping() const { return stopping_; }
  size_t connections() const { return open_; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Phase { kIdle, kReading, kAnswering, kLingering };
  struct Connection {
    explicit Connection(const HttpLimits& limits) : parser(limits) {}
    uint64_t id = 0;
    int fd = -1;
    std::string peer;
    Phase phase = Phase::kIdle;
    HttpParser parser;
    std::string in;   // received, not yet parsed
    std::string out;  // to be sent
    bool finished = false;
    bool close_after = false;
    std::shared_ptr<Exchange> exchange;
    Clock::time_point deadline;
    uint32_t events = 0;
  };
  // How other threads reach the loop, which they may outlive.
  struct Wakeup {
    int fd = -1;
    std::mutex mutex;
    std::vector<uint64_t> ready;  // connections whose exchange has something to send
    void wake(uint64_t id);
    ~Wakeup();
  };

  HttpServer(const ServerLimits& limits, HttpHandlers handlers)
      : limits_(limits), handlers_(std::move(handlers)) {}
  Result<void> open(const std::string& host, int port);

  void accept_all();
  void refuse_socket();
  void serve(uint64_t id, uint32_t events);
  void receive(Connection& c);
  void parse(Connection& c);
  void judge_head(Connection& c);
  void dispatch(Connection& c);
  void refuse(Connection& c, const HttpResponse& response);
  HttpRequest take_request(Connection& c);
  void collect(Connection& c);
  void flush(Connection& c);
  void answered(Connection& c);
  void watch(Connection& c);
  void close(Connection& c);
  void expire(Clock::time_point now);
  int next_timeout_ms(Clock::time_point now) const;
  void begin_drain();

  const ServerLimits limits_;
  const HttpHandlers handlers_;
  int port_ = 0;
  std::string host_;
  int listener_ = -1;
  int epoll_ = -1;
  int reserve_ = -1;  // given up to be able to accept, and refuse, when there are no descriptors
  std::shared_ptr<Wakeup> wakeup_ = std::make_shared<Wakeup>();
  std::map<uint64_t, Connection> connections_;
  std::map<std::string, size_t> peers_;
  std::vector<uint64_t> pipelined_;  // connections with more to parse
  uint64_t next_id_ = 2;
  uint64_t requests_ = 0;
  std::string id_prefix_;  // of requests, of this server alone
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> open_{0};
  bool draining_ = false;
  bool accept_paused_ = false;
  Clock::time_point accept_again_;
  Clock::time_point drain_deadline_;
};

}  // namespace nibble::cli
