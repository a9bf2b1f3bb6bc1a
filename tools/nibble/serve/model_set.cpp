#include "tools/nibble/serve/model_set.h"

#include <algorithm>
#include <utility>

#include "tools/nibble/hub/caches.h"
#include "tools/nibble/hub/resolve.h"
#include "tools/nibble/serve/api_error.h"

namespace nibble::cli {

std::vector<ModelService*> ModelSet::services() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelService*> services;
  for (const auto& service : services_) services.push_back(service.get());
  return services;
}

std::vector<hub::KnownModel> ModelSet::others() const {
  std::vector<hub::KnownModel> models;
  if (!by_name_) return models;
  const std::vector<ModelService*> here = services();
  for (hub::KnownModel& model : hub::all_models(by_name_->places)) {
    const bool is_here = std::any_of(here.begin(), here.end(), [&](const ModelService* service) {
      return service->path() == model.path || service->name() == model.name;
    });
    if (!is_here) models.push_back(std::move(model));
  }
  return models;
}

std::optional<hub::KnownModel> ModelSet::find_stored(const std::string& name) const {
  if (!by_name_) return {};
  const auto parsed = hub::parse_model_name(name);
  if (!parsed) return {};
  if (auto model = hub::Store(by_name_->places.store).find(*parsed)) return model;
  return hub::find_in_caches(by_name_->places, *parsed);
}

ModelService& ModelSet::find(const std::optional<std::string>& name) {
  const std::vector<ModelService*> here = services();
  if (!name && here.size() == 1) return *here.front();
  std::string known;
  const auto add = [&](const std::string& one) { known += (known.empty() ? "" : ", ") + one; };
  for (ModelService* service : here) {
    if (name && (*name == service->name() || *name == service->name() + ":latest")) {
      return *service;
    }
    add(service->name());
  }
  if (const auto stored = name ? find_stored(*name) : std::nullopt) {
    const std::lock_guard lock(mutex_);
    for (const auto& service : services_) {
      if (service->path() == stored->path) return *service;  // by another of its names
    }
    return *services_.emplace_back(
        ModelService::unloaded(stored->name, stored->path, by_name_->engine, by_name_->options));
  }
  for (const hub::KnownModel& model : others()) add(model.name);
  if (known.empty()) known = "none";
  if (!name) refuse("model is missing; this server has: " + known, "model");
  throw ApiError{404, "there is no model '" + *name + "' here; this server has: " + known, "model",
                 "model_not_found"};
}

std::shared_ptr<Model> ModelSet::load(ModelService& service,
                                      ModelService::Clock::time_point since) const {
  const std::vector<ModelService*> all = services();
  const auto taken = [&] {
    uint64_t bytes = 0;
    for (const ModelService* other : all) bytes += other == &service ? 0 : other->memory_bytes();
    return bytes;
  };
  auto model = service.load(taken(), /*all=*/true, since);
  if (!model && model.error().code == ErrorCode::kOs) {
    for (ModelService* other : all) {
      if (other != &service) other->unload_if_idle();
    }
    model = service.load(taken(), /*all=*/false, ModelService::Clock::now());
  }
  if (!model) throw to_api_error(model.error());
  return *model;
}

}  // namespace nibble::cli
