#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace gemmsmith::emulator {

/// Each different value once, by a number. Number 0 is the value of zeros.
template <class Value>
class Interner {
  static_assert(std::has_unique_object_representations_v<Value> && sizeof(Value) % 8 == 0);

 public:
  Interner() : slots_(kFirstSlots) { Number(Value{}); }

  std::size_t size() const { return values_.size(); }
  const Value& operator[](std::uint32_t number) const { return values_[number]; }

  std::uint32_t Number(const Value& value) {
    if (2 * values_.size() >= slots_.size()) Grow();
    std::uint32_t& slot = Slot(value);
    if (slot == 0) {
      values_.push_back(value);
      slot = static_cast<std::uint32_t>(values_.size());
    }
    return slot - 1;
  }

 private:
  static constexpr std::size_t kFirstSlots = 1024;  // a power of two, as all later sizes

  std::uint32_t& Slot(const Value& value) {
    std::uint64_t words[sizeof(Value) / 8], hash = 0;
    std::memcpy(words, &value, sizeof value);
    for (std::uint64_t word : words) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 32;
    }
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at] != 0 && std::memcmp(&values_[slots_[at] - 1], &value, sizeof value) != 0)
      at = (at + 1) & (slots_.size() - 1);
    return slots_[at];
  }
  void Grow() {
    slots_.assign(2 * slots_.size(), 0);
    for (std::size_t i = 0; i < values_.size(); ++i) Slot(values_[i]) = static_cast<std::uint32_t>(i + 1);
  }

  std::vector<Value> values_;
  std::vector<std::uint32_t> slots_;  // value number + 1, or 0
};

}  // namespace gemmsmith::emulator
