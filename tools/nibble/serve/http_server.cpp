#include "tools/nibble/serve/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <utility>

namespace nibble::cli {
namespace {

constexpr uint64_t kListenerId = 0;
constexpr uint64_t kWakeId = 1;
constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr size_t kReadBytes = 64 << 10;

std::string numeric_address(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "?";
  if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text,
              sizeof(text));
  } else {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof(text));
  }
  return text;
}

// No names: a static program cannot look them up.
bool parse_address(const std::string& host, int port, sockaddr_storage* out, socklen_t* size) {
  const std::string text = host == "localhost" ? "127.0.0.1" : host;
  auto& v4 = reinterpret_cast<sockaddr_in&>(*out);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(*out);
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    *size = sizeof(v4);
    return true;
  }
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) != 1) return false;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<uint16_t>(port));
  *size = sizeof(v6);
  return true;
}

Error cannot_listen(const std::string& host, int port, int reason) {
  const std::string place = host + " port " + std::to_string(port);
  if (reason == EADDRINUSE) {
    return {ErrorCode::kUnavailable,
            place + " is in use; stop that program or choose another port: --port N"};
  }
  if (reason == EACCES || reason == EPERM) {
    return {ErrorCode::kPermission,
            place + " is not allowed for this user; choose a port from 1024: --port N"};
  }
  return {ErrorCode::kUnavailable, "cannot listen on " + place + ": " + std::strerror(reason)};
}

}  // namespace

void HttpServer::Wakeup::wake(uint64_t id) {
  bool first;
  {
    const std::lock_guard lock(mutex);
    first = ready.empty();
    ready.push_back(id);
  }
  const uint64_t one = 1;
  if (!first) return;
  [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof(one));
}

HttpServer::Wakeup::~Wakeup() {
  if (fd >= 0) ::close(fd);
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const std::string& host, int port,
                                                       const ServerLimits& limits,
                                                       HttpHandlers handlers) {
  std::unique_ptr<HttpServer> server(new HttpServer(limits, std::move(handlers)));
  NIBBLE_TRY_VOID(server->open(host, port));
  return server;
}

Result<void> HttpServer::open(const std::string& host, int port) {
  std::random_device random;
  char prefix[16];
  std::snprintf(prefix, sizeof(prefix), "%08x-", static_cast<unsigned>(random()));
  id_prefix_ = prefix;
  host_ = host;
  sockaddr_storage address = {};
  socklen_t address_size = 0;
  if (!parse_address(host, port, &address, &address_size)) {
    return Error{ErrorCode::kUsage, "--host '" + host +
                                        "' is not an IP address; 127.0.0.1 is this machine alone, "
                                        "0.0.0.0 every network"};
  }
  listener_ = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener_ < 0) return cannot_listen(host, port, errno);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (bind(listener_, reinterpret_cast<const sockaddr*>(&address), address_size) != 0 ||
      ::listen(listener_, 256) != 0) {
    return cannot_listen(host, port, errno);
  }
  sockaddr_storage bound = {};
  socklen_t size = sizeof(bound);
  getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &size);
  port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                            : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wakeup_->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  reserve_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (epoll_ < 0 || wakeup_->fd < 0) {
    return Error{ErrorCode::kOs, std::string("no file descriptors: ") + std::strerror(errno)};
  }
  epoll_event event = {EPOLLIN, {.u64 = kListenerId}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_, &event);
  event.data.u64 = kWakeId;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_->fd, &event);
  return {};
}

HttpServer::~HttpServer() {
  while (!connections_.empty()) close(connections_.begin()->second);
  for (const int fd : {listener_, epoll_, reserve_}) {
    if (fd >= 0) ::close(fd);
  }
}

std::string HttpServer::address() const {
  const bool is_v6 = host_.find(':') != std::string::npos;
  return (is_v6 ? "[" + host_ + "]" : host_) + ":" + std::to_string(port_);
}

void HttpServer::stop() {
  stopping_ = true;
  wakeup_->wake(kWakeId);
}

void HttpServer::run() {
  epoll_event events[64];
  while (true) {
    if (stopping_ && !draining_) begin_drain();
    if (draining_ && (connections_.empty() || Clock::now() >= drain_deadline_)) return;
    const int count = epoll_wait(epoll_, events, 64, next_timeout_ms(Clock::now()));
    for (int i = 0; i < count; ++i) {
      const uint64_t id = events[i].data.u64;
      if (id == kListenerId) {
        accept_all();
      } else if (id == kWakeId) {
        uint64_t drained;
        [[maybe_unused]] const ssize_t got = read(wakeup_->fd, &drained, sizeof(drained));
      } else {
        serve(id, events[i].events);
      }
    }
    std::vector<uint64_t> ready;
    {
      const std::lock_guard lock(wakeup_->mutex);
      ready.swap(wakeup_->ready);
    }
    for (const uint64_t id : ready) {
      const auto found = connections_.find(id);
      if (found != connections_.end()) collect(found->second);
    }
    while (!pipelined_.empty()) {
      std::vector<uint64_t> more;
      more.swap(pipelined_);
      for (const uint64_t id : more) {
        const auto found = connections_.find(id);
        if (found != connections_.end()) parse(found->second);
      }
    }
    expire(Clock::now());
  }
}

void HttpServer::begin_drain() {
  draining_ = true;
  drain_deadline_ = Clock::now() + limits_.drain;
  ::close(std::exchange(listener_, -1));
  std::vector<uint64_t> idle;
  for (auto& [id, c] : connections_) {
    if (c.exchange != nullptr) c.exchange->set_close();
    c.close_after = true;
    if (c.phase == Phase::kIdle) idle.push_back(id);
  }
  for (const uint64_t id : idle) close(connections_.at(id));
}

void HttpServer::accept_all() {
  while (listener_ >= 0) {
    sockaddr_storage address = {};
    socklen_t size = sizeof(address);
    const int fd = accept4(listener_, reinterpret_cast<sockaddr*>(&address), &size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        refuse_socket();
      }
      return;
    }
    std::string peer = numeric_address(address);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const uint64_t id = next_id_++;
    Connection& c = connections_.emplace(id, limits_.http).first->second;
    c.id = id;
    c.fd = fd;
    c.peer = peer;
    ++peers_[peer];
    open_ = connections_.size();
    c.deadline = Clock::now() + limits_.head;
    epoll_event event = {EPOLLIN | EPOLLRDHUP, {.u64 = id}};
    c.events = event.events;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    if (connections_.size() > limits_.connections || peers_[peer] > limits_.connections_per_peer) {
      refuse(c, handlers_.error(503, "too many connections; try again later"));
    }
  }
}

// Out of descriptors: the one in reserve lets a client be told, and not wait for nothing.
void HttpServer::refuse_socket() {
  if (reserve_ >= 0) {
    ::close(std::exchange(reserve_, -1));
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      char unread[4096];  // closing with some of it would take the answer back
      [[maybe_unused]] const ssize_t got = recv(fd, unread, sizeof(unread), 0);
      constexpr std::string_view kFull =
          "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
          "Connection: close\r\n\r\n";
      [[maybe_unused]] const ssize_t sent = ::send(fd, kFull.data(), kFull.size(), MSG_NOSIGNAL);
      shutdown(fd, SHUT_WR);
      ::close(fd);
    }
    reserve_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  // Not at once again: the listener stays readable, and the loop would spin.
  epoll_event event = {0, {.u64 = kListenerId}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
  accept_paused_ = true;
  accept_again_ = Clock::now() + kAcceptPause;
}

void HttpServer::serve(uint64_t id, uint32_t events) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& c = found->second;
  // A client that closed its side wants no answer: programs that half-close and still read are not
  // known, and those that leave are the rule.
  const bool left = (events & (EPOLLERR | EPOLLHUP)) != 0 ||
                    ((events & EPOLLRDHUP) != 0 && c.phase == Phase::kAnswering);
  if (left) return close(c);
  if ((events & EPOLLOUT) != 0) {
    flush(c);
    if (connections_.find(id) == connections_.end()) return;
  }
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) receive(c);
}

void HttpServer::receive(Connection& c) {
  char buffer[kReadBytes];
  const ssize_t got = recv(c.fd, buffer, sizeof(buffer), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close(c);
  if (c.phase == Phase::kLingering) return;  // until it closes, or its time is over
  c.in.append(buffer, static_cast<size_t>(got));
  parse(c);
}

void HttpServer::parse(Connection& c) {
  using State = HttpParser::State;
  const bool fresh = c.phase == Phase::kIdle;
  const bool in_head = c.parser.state() == State::kHead;
  size_t used = c.parser.take(c.in);
  const State state = c.parser.state();
  const bool head_is_whole = in_head && (state == State::kBody || state == State::kComplete);
  c.in.erase(0, used);
  if (fresh && c.parser.begun()) {
    c.phase = Phase::kReading;
    c.deadline = Clock::now() + limits_.head;
  }
  if (state == State::kRefused) {
    const HttpRefusal& refusal = c.parser.refusal();
    return refuse(c, handlers_.error(refusal.status, refusal.message));
  }
  if (head_is_whole) {
    c.phase = Phase::kReading;
    return judge_head(c);
  }
  if (state == State::kComplete) return dispatch(c);
}

void HttpServer::judge_head(Connection& c) {
  HttpRequest& request = c.parser.request();
  request.peer = c.peer;
  if (draining_) return refuse(c, handlers_.error(503, "the server is shutting down"));
  if (const auto refused = handlers_.judge(request)) {
    // Without a body behind it the connection is as good as before.
    if (c.parser.state() != HttpParser::State::kComplete) return refuse(c, *refused);
    c.phase = Phase::kAnswering;
    c.exchange = std::make_shared<Exchange>(
        take_request(c), limits_.pending_bytes, [] {}, handlers_.log);
    c.exchange->send(*refused);
    return collect(c);
  }
  if (c.parser.state() == HttpParser::State::kComplete) return dispatch(c);
  c.deadline = Clock::now() + limits_.body;
  if (c.parser.expects_continue()) {
    c.out += "HTTP/1.1 100 Continue\r\n\r\n";
    const uint64_t id = c.id;
    flush(c);
    if (connections_.find(id) == connections_.end()) return;
  }
  if (!c.in.empty()) parse(c);
}

void HttpServer::dispatch(Connection& c) {
  c.phase = Phase::kAnswering;
  c.exchange = std::make_shared<Exchange>(
      take_request(c), limits_.pending_bytes, [wakeup = wakeup_, id = c.id] { wakeup->wake(id); },
      handlers_.log);
  if (c.close_after) c.exchange->set_close();
  watch(c);
  handlers_.handle(c.exchange);
}

// Out of the parser, with an id: the client's (or its proxy's), if that is one.
HttpRequest HttpServer::take_request(Connection& c) {
  HttpRequest request = std::move(c.parser.request());
  const std::string* given = request.header("x-request-id");
  const bool good =
      given != nullptr && !given->empty() && given->size() <= 64 &&
      std::all_of(given->begin(), given->end(), [](unsigned char character) {
        return std::isalnum(character) || character == '-' || character == '_' || character == '.';
      });
  request.id = good ? *given : id_prefix_ + std::to_string(++requests_);
  return request;
}

// Answers what cannot be read to its end, and closes: what follows is not a request.
void HttpServer::refuse(Connection& c, const HttpResponse& response) {
  HttpRequest nothing = take_request(c);
  nothing.peer = c.peer;
  nothing.keep_alive = false;
  Exchange answer(
      std::move(nothing), limits_.pending_bytes, [] {}, handlers_.log);
  answer.send(response);
  bool finished;
  c.out += answer.take_pending(&finished);
  c.in.clear();
  c.phase = Phase::kLingering;
  c.deadline = Clock::now() + limits_.lingering;
  flush(c);
}

// Takes what the exchange has to send.
void HttpServer::collect(Connection& c) {
  if (c.exchange == nullptr) return;
  if (c.exchange->gone()) return close(c);
  const bool waited = !c.out.empty();
  c.out += c.exchange->take_pending(&c.finished);
  // The loop's part of the backlog counts too.
  if (!c.finished && c.out.size() > 2 * limits_.pending_bytes) return close(c);
  if (!waited) c.deadline = Clock::now() + limits_.reading;
  flush(c);
}

void HttpServer::flush(Connection& c) {
  size_t sent = 0;
  while (sent < c.out.size()) {
    const ssize_t count = ::send(c.fd, c.out.data() + sent, c.out.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return close(c);
    if (count <= 0) break;
    sent += static_cast<size_t>(count);
  }
  if (sent > 0) {
    c.out.erase(0, sent);
    if (c.phase == Phase::kAnswering) c.deadline = Clock::now() + limits_.reading;
  }
  if (c.out.empty() && c.phase == Phase::kLingering) shutdown(c.fd, SHUT_WR);
  if (c.out.empty() && c.phase == Phase::kAnswering && c.finished) return answered(c);
  watch(c);
}

void HttpServer::answered(Connection& c) {
  const bool more = c.exchange->keeps_alive() && c.exchange->request().keep_alive && !draining_;
  if (!more) return close(c);
  c.exchange = nullptr;
  c.finished = false;
  c.parser = HttpParser(limits_.http);
  c.phase = Phase::kIdle;
  c.deadline = Clock::now() + limits_.idle;
  watch(c);
  if (!c.in.empty()) pipelined_.push_back(c.id);  // not from here: a thousand would nest
}

void HttpServer::watch(Connection& c) {
  uint32_t events = EPOLLRDHUP;
  if (c.phase != Phase::kAnswering) events |= EPOLLIN;  // one request after the other
  if (!c.out.empty()) events |= EPOLLOUT;
  if (events == c.events) return;
  c.events = events;
  epoll_event event = {events, {.u64 = c.id}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
}

void HttpServer::close(Connection& c) {
  if (c.exchange != nullptr) c.exchange->set_gone();
  ::close(c.fd);
  const auto peer = peers_.find(c.peer);
  if (--peer->second == 0) peers_.erase(peer);
  connections_.erase(c.id);
  open_ = connections_.size();
}

int HttpServer::next_timeout_ms(Clock::time_point now) const {
  auto next = Clock::time_point::max();
  const auto consider = [&](Clock::time_point time) { next = std::min(next, time); };
  for (const auto& [id, c] : connections_) {
    if (c.phase != Phase::kAnswering || !c.out.empty()) consider(c.deadline);
  }
  if (draining_) consider(drain_deadline_);
  if (accept_paused_) consider(accept_again_);
  if (next == Clock::time_point::max()) return -1;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::clamp<int64_t>(wait, 0, 3'600'000));
}

void HttpServer::expire(Clock::time_point now) {
  if (accept_paused_ && now >= accept_again_ && listener_ >= 0) {
    accept_paused_ = false;
    epoll_event event = {EPOLLIN, {.u64 = kListenerId}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, listener_, &event);
  }
  std::vector<uint64_t> late;
  for (const auto& [id, c] : connections_) {
    const bool waits = c.phase == Phase::kAnswering && c.out.empty();  // for us
    if (!waits && now >= c.deadline) late.push_back(id);
  }
  for (const uint64_t id : late) {
    Connection& c = connections_.at(id);
    if (c.phase == Phase::kReading) {
      refuse(c, handlers_.error(408, "the request did not arrive in time"));
    } else {
      close(c);
    }
  }
}

}  // namespace nibble::cli
