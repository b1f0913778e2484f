#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gemmsmith/gemmsmith.h"

namespace gemmsmith::bench {

/// One row: D (m, n) = A (m, k) * B^T (n, k); or one such product, each with its own B, for each of several groups.
struct Case {
  std::string set;
  std::int64_t m = 0, n = 0, k = 0;
  DType ab = DType::kBf16, d = DType::kBf16;
  ComputeMode compute = ComputeMode::kIeee;
  Scaling scaling = Scaling::kNone;
  Grouping grouping = Grouping::kNone;  ///< kContiguous or kMasked, and all groups full.
  std::int64_t groups = 1;
  double recorded_us = 0;          ///< What a peer took on an H200 (h200_peers.inc); 0: not known.
  std::string recorded_what = {};  ///< Of which kind of product.

  double flops() const { return 2.0 * static_cast<double>(groups * m) * static_cast<double>(n * k); }
  std::int64_t a_bytes() const { return groups * m * k * static_cast<std::int64_t>(SizeOf(ab)); }
  std::int64_t b_bytes() const { return groups * n * k * static_cast<std::int64_t>(SizeOf(ab)); }
  std::int64_t d_bytes() const { return groups * m * n * static_cast<std::int64_t>(SizeOf(d)); }
  /// As much work as one product.
  Case Dense() const;
};
/// "bf16 4096x7168x2048".
std::string ToString(const Case& c);

/// "bf16" (DeepSeek-V3's weights), "fp8" (block scales, the rows of h200_peers.inc), "grouped" (its experts), "types"
/// (the others).
const std::vector<std::string>& SetNames();
std::vector<Case> CasesOf(const std::string& set, bool quick);

/// Device memory that the operands of all cases lie in, filled once for each type of element.
class OperandPool {
 public:
  OperandPool(Device& device, const std::vector<Case>& cases);
  /// So many that all of them together are four times the L2 cache, and at least two.
  std::size_t Sets(const Case& c) const;
  /// Valid as long as the pool; made of the same memory for every case.
  GemmArgs Args(const Case& c, std::size_t set);

 private:
  void Fill(DType dtype);
  void SetScales(const Case& c, GemmArgs& args);
  void SetGroups(const Case& c, GemmArgs& args);

  Device& device_;
  std::size_t inputs_bytes_ = 0, outputs_bytes_ = 0;
  Buffer inputs_, outputs_, factors_, group_numbers_;
  DType filled_ = DType::kF64;
  ScaleArgs scales_, group_scales_;
  GroupArgs groups_;
};

}  // namespace gemmsmith::bench
