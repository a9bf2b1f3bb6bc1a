// A model that answers requests: a queue that is fair to its clients, and a thread that evaluates
// what is in progress together (nibble/batch.h).
//
// Clients take turns in the queue, whoever asks more; a full queue refuses. What nobody waits for
// any more is ended before the next step. A model that nobody uses for a while is unloaded, and
// loaded again by the next request. Thread-safe. Read next: generation.h.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nibble/batch.h"
#include "nibble/nibble.h"

namespace nibble::cli {

struct ServiceOptions {
  BatchOptions batch;
  LoadOptions load;                    // for loading it again
  size_t queue = 64;                   // prompts that wait at most
  std::chrono::seconds keep_alive{0};  // unused for so long it is unloaded; 0: never
  // How a file becomes a model; for tests another way than the usual one.
  std::function<decltype(Model::load)> open = Model::load;
};

// Counts since the start.
struct ServiceCounts {
  std::atomic<uint64_t> answers{0};
  std::atomic<uint64_t> refused{0};  // the queue was full
  std::atomic<uint64_t> cancelled{0};
  std::atomic<uint64_t> prompt_tokens{0};
  std::atomic<uint64_t> cached_tokens{0};
  std::atomic<uint64_t> answer_tokens{0};
  std::atomic<uint64_t> steps{0};
  std::atomic<uint64_t> first_token_us{0};  // from the request on, summed over the answers
  std::atomic<uint64_t> loads{0};
};

struct Job {
  std::string client;  // whose turn it is
  std::vector<int32_t> prompt;
  GenerateOptions options;
  std::shared_ptr<const Grammar> grammar;  // null: anything
  std::function<bool()> gone;              // nobody waits for the answer
  std::function<void()> on_start;          // these three on the service's thread
  DeltaCallback on_delta;
  DoneCallback on_done;
};

class ModelService {
 public:
  using Clock = std::chrono::steady_clock;

  // Makes the KV caches at once, as many as there is room for (budget.h): errors of Batch::create.
  static Result<std::unique_ptr<ModelService>> create(std::string name,
                                                      std::shared_ptr<Model> model,
                                                      const ServiceOptions& options);
  // One that is loaded when it is first wanted.
  static std::unique_ptr<ModelService> unloaded(std::string name, std::string path,
                                                std::shared_ptr<Engine> engine,
                                                const ServiceOptions& options);
  ~ModelService();  // ends what is in progress

  const std::string& name() const { return name_; }
  const std::string& path() const { return path_; }
  int64_t context() const { return context_; }  // 0: it was never loaded

  // Null: it is not loaded.
  std::shared_ptr<Model> loaded() const;
  // Waits until it is, beside `reserved_bytes` that others take; `all`: with room for all the
  // answers that were asked for, or not at all. Errors: those of loading, also of an attempt that
  // ended after `since`.
  Result<std::shared_ptr<Model>> load(uint64_t reserved_bytes, bool all, Clock::time_point since);
  // False if it answers someone, or is not loaded.
  bool unload_if_idle();
  // All or none is taken; none (false) if the model is not loaded. Errors: 64 for a prompt that
  // cannot be answered, 69 when the queue is full.
  Result<bool> submit(std::vector<Job> jobs);

  size_t waiting() const;
  size_t active() const { return active_; }
  uint64_t memory_bytes() const { return memory_bytes_; }  // with weights; 0: not loaded
  const ServiceCounts& counts() const { return counts_; }

 private:
  ModelService(std::string name, std::string path, std::shared_ptr<Engine> engine,
               const ServiceOptions& options);
  void begin();
  void run();
  void read_model(std::unique_lock<std::mutex>& lock);
  void unload();
  bool take_next(Job* job);
  void start(Job job);
  void forget_gone();
  void evaluate();

  const std::string name_;
  const std::string path_;
  const ServiceOptions options_;
  const std::shared_ptr<Engine> engine_;
  std::atomic<int64_t> context_{0};
  ServiceCounts counts_;
  std::atomic<size_t> active_{0};
  std::atomic<uint64_t> memory_bytes_{0};

  mutable std::mutex mutex_;
  std::condition_variable wake_;    // the thread
  std::condition_variable loaded_;  // who waits for the model to come or to go
  std::shared_ptr<Model> model_;    // null: not loaded
  std::unique_ptr<Batch> batch_;
  bool wanted_ = false;        // someone waits for the model
  bool unload_asked_ = false;  // someone waits for its memory
  uint64_t reserved_bytes_ = 0;
  bool all_ = false;             // answers that were asked for, or it is not loaded
  size_t sequences_ = 0;         // answers at once
  Clock::time_point failed_at_;  // the last attempt to load it that did
  Error load_error_;
  std::map<std::string, std::deque<Job>> queues_;
  std::deque<std::string> turns_;  // clients with something in the queue
  size_t waiting_ = 0;
  bool stopping_ = false;

  // The thread's own.
  struct Running {
    Batch::Id id = 0;
    std::function<bool()> gone;
    bool done = false;
  };
  std::list<Running> running_;  // callbacks refer to its elements
  std::thread thread_;
};

}  // namespace nibble::cli
