// A case in which every thread calls the kernel on operands of its own, as the runtime does with
// rows and heads. Derived operands say what one call is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "bench/kernel_case.h"

namespace nibble {

// One thread's operands.
class ThreadOperands {
 public:
  virtual ~ThreadOperands() = default;
  virtual void run(const KernelFn& fn, size_t first, size_t calls) = 0;
  // The bytes of all that the kernel writes.
  virtual std::vector<uint8_t> results() const = 0;
  virtual Work work() const = 0;  // of one call
};

// Makes operands, the same each time.
using MakeOperands = std::function<Result<std::unique_ptr<ThreadOperands>>()>;

class ThreadCase : public KernelCase {
 public:
  // `compare` is false for a kernel whose results mean nothing.
  ThreadCase(const KernelEntry* entry, MakeOperands make, size_t calls_at_once, bool compare = true)
      : entry_(entry), make_(std::move(make)), calls_at_once_(calls_at_once), compare_(compare) {}

  Result<void> prepare(ThreadTeam* team) override;
  bool equals_scalar() override;
  void run(int worker, size_t first, size_t calls) override;
  size_t calls_at_once() const override { return calls_at_once_; }
  Work work() const override;

 private:
  const KernelEntry* entry_;
  MakeOperands make_;
  size_t calls_at_once_;
  bool compare_;
  std::vector<std::unique_ptr<ThreadOperands>> operands_;  // by worker
};

// Adds the bytes of `values` to `bytes`.
template <typename T>
void append_bytes(const std::vector<T>& values, std::vector<uint8_t>* bytes) {
  const auto* first = reinterpret_cast<const uint8_t*>(values.data());
  bytes->insert(bytes->end(), first, first + values.size() * sizeof(T));
}

}  // namespace nibble
