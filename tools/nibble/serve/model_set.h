// The models of a server: those it was started with and, where it serves by name, those of the
// store and of other programs' caches, opened when they are first asked for.
//
// One thread alone calls load(); the others are thread-safe. Read next: service.h,
// ../hub/resolve.h.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tools/nibble/hub/places.h"
#include "tools/nibble/hub/store.h"
#include "tools/nibble/serve/service.h"

namespace nibble::cli {

class ModelSet {
 public:
  // What opening by name takes.
  struct ByName {
    std::shared_ptr<Engine> engine;
    ServiceOptions options;
    hub::Places places;
  };

  explicit ModelSet(std::vector<std::unique_ptr<ModelService>> services,
                    std::optional<ByName> by_name = std::nullopt)
      : by_name_(std::move(by_name)), services_(std::move(services)) {}

  bool by_name() const { return by_name_.has_value(); }
  // Those that were given, or asked for since. They stay as long as this.
  std::vector<ModelService*> services() const;
  // What else could be asked for.
  std::vector<hub::KnownModel> others() const;

  // By the request's field "model"; without it the only one. Throws ApiError 404 with those there
  // are.
  ModelService& find(const std::optional<std::string>& name);
  // Loads it if it is not. Where memory is short, others that answer nobody are unloaded for it,
  // and then it answers fewer at once. Throws ApiError, also where an attempt failed after `since`.
  std::shared_ptr<Model> load(ModelService& service, ModelService::Clock::time_point since) const;

 private:
  std::optional<hub::KnownModel> find_stored(const std::string& name) const;

  const std::optional<ByName> by_name_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<ModelService>> services_;
};

}  // namespace nibble::cli
