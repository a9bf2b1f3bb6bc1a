#include "bench/thread_case.h"

namespace nibble {

Result<void> ThreadCase::prepare(ThreadTeam* team) {
  const auto count = static_cast<size_t>(team->size());
  operands_.resize(count);
  std::vector<Result<void>> made(count);
  team->run([&](int worker) {
    const auto i = static_cast<size_t>(worker);
    auto operands = make_();
    if (operands) {
      operands_[i] = std::move(operands).value();
    } else {
      made[i] = operands.error();
    }
  });
  for (const Result<void>& result : made) NIBBLE_TRY_VOID(result);
  return {};
}

bool ThreadCase::equals_scalar() {
  if (!compare_) return true;
  // One call on the first worker's operands, which are as new; the scalar kernel gets its own.
  auto expected = make_();
  if (!expected) return false;
  (*expected)->run(select_kernel(entry_->op, entry_->format, 0)->entry->fn, 0, 1);
  operands_[0]->run(entry_->fn, 0, 1);
  return (*expected)->results() == operands_[0]->results();
}

void ThreadCase::run(int worker, size_t first, size_t calls) {
  operands_[static_cast<size_t>(worker)]->run(entry_->fn, first, calls);
}

Work ThreadCase::work() const {
  Work work = operands_[0]->work();
  const auto threads = static_cast<double>(operands_.size());
  work.macs *= threads;
  work.bytes *= threads;
  work.elements *= threads;
  return work;
}

}  // namespace nibble
