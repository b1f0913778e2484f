#include "runtime/emulator/check/initialised_bytes.h"

#include <algorithm>
#include <bit>

namespace gemmsmith::emulator {
namespace {

/// Calls visit(word, mask of its bits) for the range; stops where that returns false.
template <class Visit>
void ForEachWord(std::size_t offset, std::size_t bytes, const Visit& visit) {
  const std::size_t end = offset + bytes;
  for (std::size_t at = offset; at < end;) {
    const std::size_t word = at / 64, next = std::min(end, (word + 1) * 64);
    const std::uint64_t ones = next - at == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (next - at)) - 1;
    if (!visit(word, ones << at % 64)) return;
    at = next;
  }
}

}  // namespace

InitialisedBytes::InitialisedBytes(std::size_t bytes)
    : bytes_(bytes), words_(std::make_unique<std::atomic<std::uint64_t>[]>((bytes + 63) / 64)) {}

void InitialisedBytes::Mark(std::size_t offset, std::size_t bytes) {
  ForEachWord(offset, bytes, [&](std::size_t word, std::uint64_t mask) {
    // Most writes meet bytes that were written before, and a load costs less than an atomic change.
    if ((words_[word].load(std::memory_order_relaxed) & mask) != mask)
      words_[word].fetch_or(mask, std::memory_order_relaxed);
    return true;
  });
}

std::optional<std::size_t> InitialisedBytes::FirstUninitialised(std::size_t offset, std::size_t bytes) const {
  std::optional<std::size_t> first;
  ForEachWord(offset, bytes, [&](std::size_t word, std::uint64_t mask) {
    const std::uint64_t missing = mask & ~words_[word].load(std::memory_order_relaxed);
    if (missing != 0) first = word * 64 + static_cast<std::size_t>(std::countr_zero(missing));
    return missing == 0;
  });
  return first;
}

std::uint64_t InitialisedBytes::Uninitialised(std::size_t offset, std::size_t bytes) const {
  std::uint64_t missing = 0;
  ForEachWord(offset, bytes, [&](std::size_t word, std::uint64_t mask) {
    missing = (mask & ~words_[word].load(std::memory_order_relaxed)) >> offset % 64;
    return false;
  });
  return missing;
}

}  // namespace gemmsmith::emulator
