#include "runtime/emulator/machine/async_work.h"

#include <algorithm>
#include <bit>

#include "runtime/emulator/machine/cta.h"
#include "runtime/emulator/machine/random.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

std::size_t Index(AsyncGroup group) { return static_cast<std::size_t>(group); }

}  // namespace

AsyncOperation::AsyncOperation(Warp& warp, const Instruction& instruction, AsyncGroup group, std::uint32_t lanes)
    : warp_(&warp),
      instruction_(&instruction),
      function_(warp.frame().function),
      lanes_(lanes != 0 ? lanes : warp.mask()),
      group_(group) {
  if (group != AsyncGroup::kNone) numbers_ = warp.commits[Index(group)];
}

Error AsyncOperation::Fault(std::string_view what) const {
  return Fail(Code::kDevice, "", "{}: {}: {}", warp_->cta().launch().name,
              warp_->Where(*function_, *instruction_, std::countr_zero(lanes_)), what);
}

void AsyncOperation::CheckAlive(const Cta& cta) const {
  if (cta.done() && cta.launch().options.check)
    throw Fail(Code::kDevice, "wait before the CTA ends", "CTA ({}, {}, {}) has ended, whose shared memory is used",
               cta.id().x, cta.id().y, cta.id().z);
}

void AsyncWork::Add(std::unique_ptr<AsyncOperation> operation) {
  operation->serial_ = issued_++;
  if (Observer* const observer = operation->warp_->observer()) observer->OnIssue(*operation);
  operations_.push_back(std::move(operation));
}

void AsyncWork::Commit(Warp& warp, AsyncGroup group, std::uint32_t lanes) {
  for (std::uint32_t m = lanes; m != 0; m &= m - 1)
    ++warp.commits[Index(group)][static_cast<std::size_t>(std::countr_zero(m))];
}

bool AsyncWork::Ended(const Warp& warp, AsyncGroup group, std::uint32_t lanes, std::uint32_t pending, bool read) const {
  for (const auto& operation : operations_) {
    if (operation->warp_ != &warp || operation->group_ != group || (read && operation->read)) continue;
    for (std::uint32_t m = operation->lanes_ & lanes; m != 0; m &= m - 1) {
      const auto lane = static_cast<std::size_t>(std::countr_zero(m));
      const std::uint32_t commits = warp.commits[Index(group)][lane];
      if (operation->numbers_[lane] < commits && commits - operation->numbers_[lane] > pending) return false;
    }
  }
  return true;
}

bool AsyncWork::Pending(const Warp& warp, AsyncGroup group, std::uint32_t lanes, std::uint64_t before) const {
  return std::any_of(operations_.begin(), operations_.end(), [&](const auto& operation) {
    return operation->warp_ == &warp && operation->group_ == group && (operation->lanes_ & lanes) != 0 &&
           operation->serial_ < before;
  });
}

/// Whether the operation is through.
bool AsyncWork::Step(AsyncOperation& operation, bool may_communicate) {
  try {
    if (!operation.read) {
      operation.Read();
      operation.read = true;
      if (operation.read_apart || (operation.communicates && !may_communicate)) return false;
    }
    operation.Finish();
    if (Observer* const observer = operation.warp_->observer()) observer->OnEnd(operation);
  } catch (const Error& error) {
    throw operation.Fault(error.what());
  }
  return true;
}

bool AsyncWork::Advance(std::size_t index) {
  AsyncOperation& operation = *operations_[index];
  if (!operation.Ready() || (operation.read && operation.communicates)) return false;
  if (Step(operation, false)) operations_.erase(operations_.begin() + static_cast<std::ptrdiff_t>(index));
  return true;
}

bool AsyncWork::Deliver(bool idle) {
  if (operations_.empty()) return false;
  // Now all of it is slow, now it is fast: both bring errors to light.
  constexpr std::uint32_t kHastes[] = {8, 64, 128, 240};
  if (Draw(random_) % 8 == 0) haste_ = kHastes[Draw(random_) % std::size(kHastes)];
  bool any = false;
  const bool backwards = Draw(random_) % 2 == 0;
  for (std::size_t i = 0, end = operations_.size(); i < end; ++i) {
    // Forwards, what follows moves up where one is through.
    const std::size_t index = backwards ? end - 1 - i : i - (end - operations_.size());
    if (index < operations_.size() && Draw(random_) % 256 < haste_) any |= Advance(index);
  }
  if (any || !idle) return any;
  const std::size_t first = Draw(random_) % operations_.size();
  for (std::size_t i = 0, count = operations_.size(); i < count; ++i)
    if (Advance((first + i) % count)) return true;
  return false;
}

bool AsyncWork::Communicate() {
  bool any = false;
  for (std::size_t i = 0; i < operations_.size();) {
    AsyncOperation& operation = *operations_[i];
    if (operation.communicates && operation.read && Step(operation, true)) {
      operations_.erase(operations_.begin() + static_cast<std::ptrdiff_t>(i));
      any = true;
    } else {
      ++i;
    }
  }
  return any;
}

bool AsyncWork::WantsToCommunicate() const {
  return std::any_of(operations_.begin(), operations_.end(),
                     [](const auto& operation) { return operation->communicates && operation->read; });
}

}  // namespace gemmsmith::emulator
