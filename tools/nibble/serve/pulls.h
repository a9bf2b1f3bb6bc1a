// Downloads that clients asked for: POST /api/pull, in Ollama's form. One download for one name,
// whoever else asks for it follows; it ends when nobody does. Read next: ../hub/pull.h.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "nibble/nibble.h"
#include "tools/nibble/hub/pull.h"
#include "tools/nibble/serve/api_error.h"
#include "tools/nibble/serve/exchange.h"

namespace nibble::cli {

class Pulls {
 public:
  // What does not fit as `load` says is refused.
  Pulls(hub::PullOptions options, const LoadOptions& load)
      : options_(std::move(options)), load_(load) {}
  ~Pulls();

  // Answers the exchange from another thread: lines of JSON, or one object. Throws ApiError for a
  // name that is none of the hub's, and 429 where too many downloads run. From one thread.
  void start(const std::string& name, bool streams, std::shared_ptr<Exchange> exchange);

  // Ends those in progress; what came of them is kept, and continued when asked for again.
  void stop();
  size_t active() const;

 private:
  struct Listener {
    std::shared_ptr<Exchange> exchange;
    bool streams;
  };
  struct Download {
    std::string name;
    std::mutex mutex;
    std::vector<Listener> listeners;
    bool told = false;  // how it ended: no listener can join
    std::atomic<bool> over{false};
    std::thread thread;

    bool join(Listener listener);
    void tell(const Json& line);
    void tell_end(const std::optional<ApiError>& error);
    bool is_wanted();
  };
  void run(Download& download) const;

  const hub::PullOptions options_;
  const LoadOptions load_;
  std::atomic<bool> stopping_{false};
  std::list<Download> downloads_;  // threads refer to its elements
  std::atomic<size_t> active_{0};
};

}  // namespace nibble::cli
