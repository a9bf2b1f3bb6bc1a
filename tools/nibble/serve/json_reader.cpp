#include "tools/nibble/serve/json_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace nibble::cli {
namespace {

// Builds the value from the parser's events.
class Reader final : public nlohmann::json_sax<Json> {
 public:
  explicit Reader(const char* what) : what_(what) {}
  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // JSON has none
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto& fields = of_object();
    if (fields.size() >= kJsonFieldsMax) {
      refuse(what_ + " holds an object with more than " + std::to_string(kJsonFieldsMax) +
             " fields; that is too large");
    }
    fields.emplace_back(std::move(name), nullptr);
    return true;
  }

  bool end_object() override {
    const auto& fields = of_object();
    if (fields.size() > 1) {
      names_.clear();
      for (const auto& [name, value] : fields) names_.emplace_back(name);
      std::sort(names_.begin(), names_.end());
      const auto twice = std::adjacent_find(names_.begin(), names_.end());
      if (twice != names_.end()) {
        refuse(what_ + " holds an object with the field '" + std::string(twice->substr(0, 60)) +
               "' twice");
      }
    }
    return close();
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    if (const auto* syntax = dynamic_cast<const Json::parse_error*>(&error)) {
      refuse(what_ + " is not JSON in UTF-8: error at byte " + std::to_string(syntax->byte));
    }
    refuse(what_ + " holds a number that is out of range");
  }

 private:
  using Fields = std::vector<std::pair<const std::string, Json>>;  // what an ordered object is

  Fields& of_object() { return open_.back()->get_ref<Json::object_t&>(); }

  // Where the next value goes: an element, or what the last name waits for.
  template <typename Value>
  Json* place(Value&& value) {
    Json* to = &root_;
    if (!open_.empty() && open_.back()->is_array()) {
      return &open_.back()->get_ref<Json::array_t&>().emplace_back(std::forward<Value>(value));
    }
    if (!open_.empty()) to = &of_object().back().second;
    *to = std::forward<Value>(value);
    return to;
  }
  template <typename Value>
  bool add(Value&& value) {
    place(std::forward<Value>(value));
    return true;
  }
  bool open(Json value) {
    if (open_.size() >= kJsonDepthMax) {
      refuse(what_ + " is nested more than " + std::to_string(kJsonDepthMax) + " deep");
    }
    open_.push_back(place(std::move(value)));  // it stays there while it is open
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string what_;
  Json root_;
  std::vector<Json*> open_;
  std::vector<std::string_view> names_;  // scratch
};

}  // namespace

Json read_json(std::string_view text, const char* what) {
  Reader reader(what);
  Json::sax_parse(text, &reader);
  return reader.take();
}

}  // namespace nibble::cli
