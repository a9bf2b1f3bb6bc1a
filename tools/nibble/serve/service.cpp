#include "tools/nibble/serve/service.h"

#include <algorithm>
#include <utility>

#include "runtime/model_impl.h"
#include "tools/nibble/serve/budget.h"

namespace nibble::cli {

ModelService::ModelService(std::string name, std::string path, std::shared_ptr<Engine> engine,
                           const ServiceOptions& options)
    : name_(std::move(name)),
      path_(std::move(path)),
      options_(options),
      engine_(std::move(engine)) {
  reserved_bytes_ = options.load.reserved_bytes;
}

Result<std::unique_ptr<ModelService>> ModelService::create(std::string name,
                                                           std::shared_ptr<Model> model,
                                                           const ServiceOptions& options) {
  std::unique_ptr<ModelService> service(
      new ModelService(std::move(name), model->path(), model->impl().engine, options));
  NIBBLE_TRY(const BatchOptions batch, fit_batch(model->impl().file, *model->impl().engine, options,
                                                 options.load.reserved_bytes, /*all=*/false));
  NIBBLE_TRY(service->batch_, Batch::create(model, batch));
  service->sequences_ = static_cast<size_t>(batch.sequences);
  service->context_ = service->batch_->context();
  service->memory_bytes_ = model->weight_bytes() + service->batch_->memory_bytes();
  service->model_ = std::move(model);
  service->begin();
  return service;
}

std::unique_ptr<ModelService> ModelService::unloaded(std::string name, std::string path,
                                                     std::shared_ptr<Engine> engine,
                                                     const ServiceOptions& options) {
  std::unique_ptr<ModelService> service(
      new ModelService(std::move(name), std::move(path), std::move(engine), options));
  service->begin();
  return service;
}

void ModelService::begin() {
  thread_ = std::thread([this] { run(); });
}

ModelService::~ModelService() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::shared_ptr<Model> ModelService::loaded() const {
  const std::lock_guard lock(mutex_);
  return model_;
}

size_t ModelService::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

Result<std::shared_ptr<Model>> ModelService::load(uint64_t reserved_bytes, bool all,
                                                  Clock::time_point since) {
  std::unique_lock lock(mutex_);
  while (model_ == nullptr) {
    if (stopping_) return Error{ErrorCode::kUnavailable, "the server is shutting down"};
    if (failed_at_ > since) return load_error_;
    wanted_ = true;
    reserved_bytes_ = reserved_bytes;
    all_ = all;
    wake_.notify_one();
    loaded_.wait(lock);
  }
  return model_;
}

bool ModelService::unload_if_idle() {
  std::unique_lock lock(mutex_);
  if (stopping_ || model_ == nullptr || active_ + waiting_ > 0) return false;
  unload_asked_ = true;
  wake_.notify_one();
  loaded_.wait(lock, [&] { return !unload_asked_; });
  return model_ == nullptr;
}

Result<bool> ModelService::submit(std::vector<Job> jobs) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return Error{ErrorCode::kUnavailable, "the server is shutting down"};
    if (batch_ == nullptr) return false;
    for (const Job& job : jobs) NIBBLE_TRY_VOID(batch_->check(job.prompt, job.options));
    // What has a place to go to does not wait, though the thread may not have taken it yet.
    const size_t most = options_.queue + sequences_;
    const auto is_full = [&] { return active_ + waiting_ + jobs.size() > most; };
    if (is_full()) forget_gone();
    if (is_full()) {
      ++counts_.refused;
      return Error{ErrorCode::kUnavailable, "the queue of model " + name_ + " is full (" +
                                                std::to_string(waiting_) +
                                                " prompts wait); try again later"};
    }
    for (Job& job : jobs) {
      std::deque<Job>& queue = queues_[job.client];
      if (queue.empty()) turns_.push_back(job.client);
      queue.push_back(std::move(job));
      ++waiting_;
    }
  }
  wake_.notify_one();
  return true;
}

void ModelService::forget_gone() {
  for (auto queue = queues_.begin(); queue != queues_.end();) {
    waiting_ -= std::erase_if(queue->second, [](const Job& job) { return job.gone(); });
    if (queue->second.empty()) {
      std::erase(turns_, queue->first);
      queue = queues_.erase(queue);
    } else {
      ++queue;
    }
  }
}

bool ModelService::take_next(Job* job) {
  if (turns_.empty()) return false;
  const std::string client = std::move(turns_.front());
  turns_.pop_front();
  const auto queue = queues_.find(client);
  *job = std::move(queue->second.front());
  queue->second.pop_front();
  --waiting_;
  if (queue->second.empty()) {
    queues_.erase(queue);
  } else {
    turns_.push_back(client);
  }
  return true;
}

void ModelService::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto busy = [&] {
      return stopping_ || unload_asked_ || waiting_ > 0 || !running_.empty() ||
             (wanted_ && model_ == nullptr);
    };
    if (options_.keep_alive.count() > 0 && model_ != nullptr) {
      if (!wake_.wait_for(lock, options_.keep_alive, busy)) {
        unload();
        continue;
      }
    } else {
      wake_.wait(lock, busy);
    }
    if (stopping_) break;
    if (std::exchange(unload_asked_, false)) {
      if (waiting_ == 0 && running_.empty()) unload();
      loaded_.notify_all();
      continue;
    }
    if (model_ == nullptr) {
      read_model(lock);
      continue;
    }
    Job job;
    std::vector<Job> fresh;
    const size_t room = sequences_ - running_.size();
    while (fresh.size() < room && take_next(&job)) fresh.push_back(std::move(job));
    active_ = running_.size() + fresh.size();
    lock.unlock();
    for (Job& next : fresh) start(std::move(next));
    fresh.clear();
    evaluate();
    lock.lock();
  }
  queues_.clear();
  unload_asked_ = false;
  lock.unlock();
  loaded_.notify_all();
  for (const Running& one : running_) batch_->cancel(one.id);
}

void ModelService::start(Job job) {
  if (job.gone()) {
    ++counts_.cancelled;
    --active_;
    return;
  }
  if (job.on_start) job.on_start();
  Running& one = running_.emplace_back();
  one.gone = std::move(job.gone);
  auto on_done = [this, &one, tell = job.on_done](Result<Completion> done) {
    one.done = true;
    --active_;  // who hears of it may ask again at once
    if (done) {
      const Stats& stats = done->stats;
      ++counts_.answers;
      counts_.cancelled += done->reason == StopReason::kCancelled;
      counts_.prompt_tokens += static_cast<uint64_t>(stats.prompt_tokens);
      counts_.cached_tokens += static_cast<uint64_t>(stats.cached_tokens);
      counts_.answer_tokens += done->tokens.size();
      counts_.first_token_us += static_cast<uint64_t>(stats.first_token_s * 1e6);
    }
    tell(std::move(done));
  };
  auto added = batch_->add(job.prompt, job.options, std::move(job.on_delta), std::move(on_done),
                           std::move(job.grammar));
  if (added) {
    one.id = *added;
    return;
  }
  running_.pop_back();
  --active_;
  job.on_done(std::move(added).error());
}

void ModelService::evaluate() {
  for (const Running& one : running_) {
    if (!one.done && one.gone()) batch_->cancel(one.id);
  }
  batch_->step();
  ++counts_.steps;
  std::erase_if(running_, [](const Running& one) { return one.done; });
  memory_bytes_ = model_->weight_bytes() + batch_->memory_bytes();
}

void ModelService::read_model(std::unique_lock<std::mutex>& lock) {
  LoadOptions options = options_.load;
  options.reserved_bytes = reserved_bytes_;
  const bool all = all_;
  lock.unlock();
  const auto file = GgufFile::open(path_);
  const auto fitting = file ? fit_batch(*file, *engine_, options_, options.reserved_bytes, all)
                            : Result<BatchOptions>(file.error());
  auto model = fitting ? options_.open(engine_, path_, options)
                       : Result<std::shared_ptr<Model>>(fitting.error());
  Result<std::unique_ptr<Batch>> batch =
      model ? Batch::create(*model, *fitting) : std::move(model).error();
  lock.lock();
  wanted_ = false;
  if (batch) {
    ++counts_.loads;
    context_ = (*batch)->context();
    memory_bytes_ = (*model)->weight_bytes() + (*batch)->memory_bytes();
    model_ = std::move(*model);
    batch_ = std::move(*batch);
    sequences_ = static_cast<size_t>(fitting->sequences);
  } else {
    load_error_ = batch.error();
    failed_at_ = Clock::now();
  }
  loaded_.notify_all();
}

void ModelService::unload() {
  batch_ = nullptr;
  model_ = nullptr;
  memory_bytes_ = 0;
}

}  // namespace nibble::cli
