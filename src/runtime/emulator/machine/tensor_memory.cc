#include "runtime/emulator/machine/tensor_memory.h"

#include <algorithm>

#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {

std::uint32_t* TensorMemory::At(int lane, int column) {
  if (words_.empty()) words_.resize(static_cast<std::size_t>(kHeight) * kColumns);
  return words_.data() + static_cast<std::size_t>(lane) * kColumns + column;
}

std::optional<int> TensorMemory::FindFree(int columns) const {
  const auto none = std::search_n(allocations_.begin(), allocations_.end(), columns / kUnit, 0);
  if (none == allocations_.end()) return std::nullopt;
  return static_cast<int>(none - allocations_.begin()) * kUnit;
}

void TensorMemory::Allocate(int column, int columns) {
  std::fill_n(allocations_.begin() + column / kUnit, columns / kUnit, column + 1);
  sizes_[column] = columns;
  last_columns = columns;
}

bool TensorMemory::Free(int column, int columns) {
  const auto found = sizes_.find(column);
  if (found == sizes_.end() || found->second != columns) return false;
  std::fill_n(allocations_.begin() + column / kUnit, columns / kUnit, 0);
  sizes_.erase(found);
  return true;
}

bool TensorMemory::IsAllocated(int column, int columns) const {
  for (int at = column / kUnit; at * kUnit < column + columns; ++at)
    if (allocations_[static_cast<std::size_t>(at)] == 0) return false;
  return true;
}

int TensorMemory::allocated() const {
  return kUnit *
         static_cast<int>(std::count_if(allocations_.begin(), allocations_.end(), [](int a) { return a != 0; }));
}

void CheckTensorWords(const Warp& warp, const Instruction& i, const TensorWords& words) {
  const auto text = [&] {
    return fmt::format("lanes {} to {}, columns {} to {} of tensor memory", words.lane, words.lane + words.lanes - 1,
                       words.column, words.column + words.columns - 1);
  };
  if (words.lane + words.lanes > TensorMemory::kHeight || words.column + words.columns > TensorMemory::kColumns)
    throw warp.Fault(
        i, -1,
        fmt::format("{}, which has {} lanes of {} columns", text(), TensorMemory::kHeight, TensorMemory::kColumns));
  if (!words.cta->tensor_memory().IsAllocated(words.column, words.columns))
    throw warp.Fault(i, -1, fmt::format("{} are not all allocated", text()));
}

}  // namespace gemmsmith::emulator
