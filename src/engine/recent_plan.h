#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "engine/num_sms.h"
#include "gemmsmith/jit_wrapper.h"

namespace gemmsmith {

/// The plan of the call before, for callers that make one call again and again: what its tensors are is compared
/// instead of described and looked up. Thread-safe: a sequence lock, whose readers write nothing. (Boehm, "Can Seqlocks
/// Get Along with Programming Language Memory Models?", 2012, with loads that acquire in the place of a fence.)
class RecentPlan {
 public:
  /// A call without the places of its tensors. The call and `b` must outlive it.
  class Key {
   public:
    /// `b`: the call's weight, or that in packed form.
    Key(const ForwardCall& call, const Tensor& b, const SmSetting& setting);

   private:
    friend class RecentPlan;
    static constexpr std::size_t kTensor = 7, kWords = 3 * kTensor + 6;
    bool LiesWell(std::size_t a_bytes, std::size_t b_bytes, std::size_t d_bytes) const;

    const Tensor &a_, &b_, &d_;
    std::array<std::uint64_t, kWords> words_;
  };

  /// If the call before was like this one, and this one's tensors lie apart: its plan. Else null.
  const Plan* Find(const Key& key) const;
  /// `plan` has run the call.
  void Keep(const Key& key, const Plan& plan);

 private:
  using Shared = std::atomic<std::uint64_t>;
  Shared changes_{0};  ///< Odd: the rest is being written.
  std::array<Shared, Key::kWords> words_{};
  Shared a_bytes_{0}, b_bytes_{0}, d_bytes_{0};  ///< BytesOf the tensors.
  std::atomic<const Plan*> plan_{nullptr};
};

}  // namespace gemmsmith
