#include "engine/recent_plan.h"

#include <bit>

#include "engine/byte_range.h"

namespace gemmsmith {
namespace {

template <class T>
std::uint64_t Bits(T value, int at) {
  return static_cast<std::uint64_t>(value) << at;
}

std::uintptr_t AddressOf(const Tensor& tensor) { return reinterpret_cast<std::uintptr_t>(tensor.data); }

/// All of a tensor but where it lies.
std::uint64_t* Write(const Tensor& tensor, std::uint64_t* to) {
  for (const std::int64_t extent : tensor.shape) *to++ = static_cast<std::uint64_t>(extent);
  for (const std::int64_t stride : tensor.strides) *to++ = static_cast<std::uint64_t>(stride);
  *to++ = Bits(tensor.dtype, 0) | Bits(tensor.rank, 8) | Bits(tensor.device.kind, 16) | Bits(tensor.device.index, 24) |
          Bits(tensor.read_only, 32) | Bits(tensor.packed, 33);
  return to;
}

}  // namespace

RecentPlan::Key::Key(const ForwardCall& call, const Tensor& b, const SmSetting& setting)
    : a_(call.input), b_(b), d_(call.output) {
  std::uint64_t* to = words_.data();
  to = Write(a_, to);
  to = Write(b_, to);
  to = Write(d_, to);
  *to++ = std::bit_cast<std::uint64_t>(call.alpha);
  *to++ = std::bit_cast<std::uint64_t>(call.beta);
  *to++ = Bits(call.trans_a, 0) | Bits(call.trans_b, 1) | Bits(call.prepack, 2);
  *to++ = (AddressOf(a_) | AddressOf(b_) | AddressOf(d_)) & 15;  // Problems differ by what divides all three.
  *to++ = reinterpret_cast<std::uintptr_t>(&setting);
  *to = setting.plans.version();
}

bool RecentPlan::Key::LiesWell(std::size_t a_bytes, std::size_t b_bytes, std::size_t d_bytes) const {
  return a_.data != nullptr && b_.data != nullptr && d_.data != nullptr && !Meet(d_.data, d_bytes, a_.data, a_bytes) &&
         !Meet(d_.data, d_bytes, b_.data, b_bytes);
}

const Plan* RecentPlan::Find(const Key& key) const {
  constexpr auto kFirst = std::memory_order_acquire;
  const std::uint64_t changes = changes_.load(kFirst);
  std::uint64_t differ = changes & 1;
  for (std::size_t i = 0; i < key.words_.size(); ++i) differ |= key.words_[i] ^ words_[i].load(kFirst);
  const Plan* const plan = plan_.load(kFirst);
  const std::size_t a_bytes = a_bytes_.load(kFirst), b_bytes = b_bytes_.load(kFirst), d_bytes = d_bytes_.load(kFirst);
  if (differ != 0 || changes_.load(std::memory_order_relaxed) != changes) return nullptr;
  return key.LiesWell(a_bytes, b_bytes, d_bytes) ? plan : nullptr;
}

void RecentPlan::Keep(const Key& key, const Plan& plan) {
  constexpr auto kAfter = std::memory_order_release;
  std::uint64_t changes = changes_.load(std::memory_order_relaxed);
  // Who comes second keeps nothing: it is as well.
  if (changes % 2 != 0 || !changes_.compare_exchange_strong(changes, changes + 1, std::memory_order_acquire)) return;
  for (std::size_t i = 0; i < key.words_.size(); ++i) words_[i].store(key.words_[i], kAfter);
  plan_.store(&plan, kAfter);
  a_bytes_.store(BytesOf(key.a_), kAfter);
  b_bytes_.store(BytesOf(key.b_), kAfter);
  d_bytes_.store(BytesOf(key.d_), kAfter);
  changes_.store(changes + 2, kAfter);
}

}  // namespace gemmsmith
