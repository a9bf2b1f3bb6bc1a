// Result<T>: a value or an error that says what is wrong, where, and what to do.
//
// Input (files, prompts, flags, requests) can be wrong and gives a Result; a broken invariant is a
// bug and stops the program (runtime/file/check.h). No exceptions cross the public API.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace nibble {

// The values are the process's exit codes (sysexits.h).
enum class ErrorCode : int {
  kUsage = 64,         // a flag, option or request that cannot be meant
  kData = 65,          // a file that is not what it should be
  kNoInput = 66,       // a file that is missing or cannot be read as one
  kUnavailable = 69,   // a service or resource that is not there
  kInternal = 70,      // a fault of ours
  kOs = 71,            // memory, threads, mappings
  kCannotCreate = 73,  // an output file that cannot be made
  kIo = 74,            // reading or writing failed half way
  kPermission = 77,
  kInterrupted = 130,
};

struct [[nodiscard]] Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  // one or two sentences, no trailing newline
};

// Holds a T or an Error. Access to the wrong one is a bug of the caller and terminates.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT

  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace nibble

// Returns early with the error of `expr`, or binds its value: NIBBLE_TRY(auto file, open(path));
#define NIBBLE_TRY_NAME2(line) nibble_try_##line
#define NIBBLE_TRY_NAME(line) NIBBLE_TRY_NAME2(line)
#define NIBBLE_TRY(decl, expr)                                                         \
  auto NIBBLE_TRY_NAME(__LINE__) = (expr);                                             \
  if (!NIBBLE_TRY_NAME(__LINE__)) return std::move(NIBBLE_TRY_NAME(__LINE__)).error(); \
  decl = std::move(NIBBLE_TRY_NAME(__LINE__)).value()
#define NIBBLE_TRY_VOID(expr)                                                                 \
  do {                                                                                        \
    if (auto nibble_result = (expr); !nibble_result) return std::move(nibble_result).error(); \
  } while (0)
