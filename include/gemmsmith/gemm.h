#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "gemmsmith/args.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith {

/// The operation C = alpha * op(A) * op(B) + beta * C with a weight B; a description that JITWrapper runs.
/// Copies share the weight and its version.
template <class TA, class TB = TA, class TD = TA, class TAcc = float>
class Gemm {
 public:
  /// trans_a: A is given as (k, m). trans_b: B is given as (n, k), as models store their weights.
  explicit Gemm(bool trans_a = false, bool trans_b = false, TAcc alpha = 1, TAcc beta = 0)
      : trans_a_(trans_a), trans_b_(trans_b), alpha_(alpha), beta_(beta), weight_(std::make_shared<Weight>()) {}

  /// B, by reference: it must outlive its use. Call WeightChanged after writing to it if it was pre-packed.
  void SetWeight(const Tensor& weight) {
    weight_->tensor = weight;
    WeightChanged();
  }
  /// Keep a copy of B in the form the device reads fastest, made at the next Forward. A device that reads B as it comes
  /// (CUDA) makes none.
  void Prepack() { weight_->prepack.store(true, std::memory_order_relaxed); }
  /// B has new values: drops the copy; the next Forward packs again.
  void WeightChanged() { weight_->version.fetch_add(1, std::memory_order_release); }

  bool trans_a() const { return trans_a_; }
  bool trans_b() const { return trans_b_; }
  TAcc alpha() const { return alpha_; }
  TAcc beta() const { return beta_; }
  const Tensor& weight() const { return weight_->tensor; }
  bool prepacked() const { return weight_->prepack.load(std::memory_order_relaxed); }
  std::uint64_t weight_version() const { return weight_->version.load(std::memory_order_acquire); }

  static constexpr DType kAType = DTypeOf<TA>::value, kBType = DTypeOf<TB>::value;
  static constexpr DType kDType = DTypeOf<TD>::value;
  /// The accumulator; f64 operands are never summed in less than f64.
  static constexpr DType kAccType = kAType == DType::kF64 ? DType::kF64 : DTypeOf<TAcc>::value;

 private:
  struct Weight {
    Tensor tensor;
    std::atomic<bool> prepack{false};
    std::atomic<std::uint64_t> version{0};
  };
  bool trans_a_, trans_b_;
  TAcc alpha_, beta_;
  std::shared_ptr<Weight> weight_;
};

}  // namespace gemmsmith
