#include "case.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace gemmsmith::bench {
namespace {

constexpr std::size_t kAlignment = 1024;
std::size_t Rounded(std::int64_t bytes) {
  return (static_cast<std::size_t>(bytes) + kAlignment - 1) / kAlignment * kAlignment;
}

/// Columns n, k, m and the microseconds that cuBLAS (bf16), CUTLASS (fp8) and DeepGEMM or FlashInfer (fp8 with block
/// scales) took.
struct Recorded {
  std::int64_t n, k, m;
  double bf16_us, fp8_us, fp8_block_us;
};
constexpr Recorded kRecorded[] = {
#include "h200_peers.inc"
};

std::vector<Case> Fp8Cases() {
  std::vector<Case> cases;
  for (const Recorded& row : kRecorded) {
    Case c{"fp8", row.m, row.n, row.k, DType::kE4m3, DType::kBf16, ComputeMode::kIeee, Scaling::kBlock128x128};
    // Up to m = 512 the column of block scales stands on a floor of what launches cost there.
    const bool block = row.m >= 1024;
    c.recorded_us = block ? row.fp8_block_us : row.fp8_us;
    c.recorded_what = block ? "fp8, block scales" : "fp8, one scale";
    cases.push_back(c);
  }
  return cases;
}

std::vector<Case> Bf16Cases() {
  std::vector<Case> cases;
  for (const NamedProblem& weight : ModelWeights("deepseek-v3"))
    for (const std::int64_t m : {1, 16, 64, 128, 512, 4096}) {
      Case c{"bf16", m, weight.problem.n, weight.problem.k};
      const auto* const row = std::find_if(std::begin(kRecorded), std::end(kRecorded),
                                           [&](const Recorded& r) { return r.m == c.m && r.n == c.n && r.k == c.k; });
      if (row != std::end(kRecorded)) c.recorded_us = row->bf16_us, c.recorded_what = "bf16";
      cases.push_back(c);
    }
  return cases;
}

/// DeepGEMM's sizes of DeepSeek-V3's experts.
std::vector<Case> GroupedCases() {
  std::vector<Case> cases;
  for (const bool fp8 : {false, true})
    for (const auto& [n, k] : {std::pair{4096, 7168}, {7168, 2048}})
      for (const auto& [grouping, groups, m] : {std::tuple{Grouping::kContiguous, 4, 8192},
                                                {Grouping::kContiguous, 8, 4096},
                                                {Grouping::kMasked, 6, 1024},
                                                {Grouping::kMasked, 32, 192}}) {
        Case c{"grouped", m, n, k, fp8 ? DType::kE4m3 : DType::kBf16, DType::kBf16};
        c.scaling = fp8 ? Scaling::kBlock128x128 : Scaling::kNone;
        c.grouping = grouping, c.groups = groups;
        cases.push_back(c);
      }
  return cases;
}

std::vector<Case> TypesCases() {
  constexpr ComputeMode kIeee = ComputeMode::kIeee;
  return {{"types", 1, 4096, 4096, DType::kF16, DType::kF16},
          {"types", 512, 4096, 14336, DType::kF16, DType::kF16},
          {"types", 4096, 4096, 4096, DType::kBf16, DType::kF32},
          {"types", 512, 512, 512, DType::kF32, DType::kF32},
          {"types", 4096, 4096, 4096, DType::kF32, DType::kF32},
          {"types", 4096, 4096, 4096, DType::kF32, DType::kF32, ComputeMode::kTf32},
          {"types", 2048, 2048, 2048, DType::kF64, DType::kF64, kIeee},
          {"types", 4096, 4096, 4096, DType::kS8, DType::kS32},
          {"types", 4096, 4096, 4096, DType::kE4m3, DType::kBf16}};
}

}  // namespace

std::string ToString(const Case& c) {
  std::string text(gemmsmith::ToString(c.ab));
  if (c.d != c.ab) text += fmt::format("->{}", gemmsmith::ToString(c.d));
  if (c.compute == ComputeMode::kTf32) text += " as tf32";
  if (c.scaling != Scaling::kNone) text += fmt::format(" scaling {}", gemmsmith::ToString(c.scaling));
  if (c.grouping != Grouping::kNone) text += fmt::format(" {} groups, {},", c.groups, gemmsmith::ToString(c.grouping));
  return text + fmt::format(" {}x{}x{}", c.m, c.n, c.k);
}

Case Case::Dense() const {
  Case dense = *this;
  dense.grouping = Grouping::kNone, dense.m = groups * m, dense.groups = 1;
  return dense;
}

const std::vector<std::string>& SetNames() {
  static const std::vector<std::string> names = {"bf16", "fp8", "grouped", "types"};
  return names;
}

std::vector<Case> CasesOf(const std::string& set, bool quick) {
  std::vector<Case> cases = set == "bf16"      ? Bf16Cases()
                            : set == "fp8"     ? Fp8Cases()
                            : set == "grouped" ? GroupedCases()
                                               : TypesCases();
  if (quick) std::erase_if(cases, [](const Case& c) { return c.flops() > 2e10; });
  if (quick && cases.size() > 6) cases.resize(6);
  return cases;
}

OperandPool::OperandPool(Device& device, const std::vector<Case>& cases) : device_(device) {
  std::size_t factors = 0, rows = 1;
  for (const Case& c : cases) {
    inputs_bytes_ = std::max(inputs_bytes_, Sets(c) * (Rounded(c.a_bytes()) + Rounded(c.b_bytes())));
    outputs_bytes_ = std::max(outputs_bytes_, Sets(c) * Rounded(c.d_bytes()));
    factors = std::max(factors, static_cast<std::size_t>(c.groups * std::max(c.m + 3, c.n) * (c.k / 128 + 1)));
    rows = std::max(rows, static_cast<std::size_t>(c.groups * c.m));
  }
  inputs_ = device_.Allocate(inputs_bytes_);
  outputs_ = device_.Allocate(outputs_bytes_);
  group_numbers_ = device_.Allocate(rows * sizeof(std::int32_t));
  factors_ = device_.Allocate(factors * sizeof(float));
  std::vector<float> host(factors);
  FillRandom(Tensor(host.data(), {static_cast<std::int64_t>(host.size())}), 1);
  device_.Copy(factors_.data(), host.data(), factors_.bytes());
  device_.Synchronize();
}

std::size_t OperandPool::Sets(const Case& c) const {
  const std::int64_t bytes = c.a_bytes() + c.b_bytes() + c.d_bytes();
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(4 * static_cast<std::int64_t>(device_.spec().l2_bytes) / bytes + 1, 2, 64));
}

/// Random, since zeros make a GPU faster than it is; 16 MiB of it, again and again.
void OperandPool::Fill(DType dtype) {
  if (filled_ == dtype) return;
  const std::size_t some = std::min<std::size_t>(inputs_bytes_, 16 << 20);
  std::vector<std::byte> host(some);
  FillRandom(Tensor(host.data(), dtype, {static_cast<std::int64_t>(some / SizeOf(dtype))}), 1);
  auto* const to = static_cast<std::byte*>(inputs_.data());
  device_.Copy(to, host.data(), some);
  for (std::size_t at = some; at < inputs_bytes_; at += some)
    device_.Copy(to + at, to, std::min(some, inputs_bytes_ - at));
  device_.Synchronize();
  filled_ = dtype;
}

GemmArgs OperandPool::Args(const Case& c, std::size_t set) {
  Fill(c.ab);
  auto* const inputs = static_cast<std::byte*>(inputs_.data()) + set * (Rounded(c.a_bytes()) + Rounded(c.b_bytes()));
  auto* const outputs = static_cast<std::byte*>(outputs_.data()) + set * Rounded(c.d_bytes());
  const auto at = [&](void* data, DType dtype, std::int64_t each, std::int64_t columns, bool apart) {
    return apart && c.grouping != Grouping::kNone ? Tensor(data, dtype, {c.groups, each, columns}, device_.id())
                                                  : Tensor(data, dtype, {c.groups * each, columns}, device_.id());
  };
  const bool masked = c.grouping == Grouping::kMasked;
  GemmArgs args;
  args.a = at(inputs, c.ab, c.m, c.k, masked);
  args.b = at(inputs + Rounded(c.a_bytes()), c.ab, c.n, c.k, true).Transposed();
  args.d = at(outputs, c.d, c.m, c.n, masked);
  if (c.scaling != Scaling::kNone) SetScales(c, args);
  if (c.grouping != Grouping::kNone) SetGroups(c, args);
  return args;
}

/// A's lie along m, and as far apart as bulk copies want, as peers take them.
void OperandPool::SetScales(const Case& c, GemmArgs& args) {
  const std::int64_t blocks = (c.k + 127) / 128, n_blocks = (c.n + 127) / 128;
  const bool masked = c.grouping == Grouping::kMasked;
  const std::int64_t m = masked ? c.m : c.groups * c.m, lines = (m + 3) / 4 * 4;
  const DeviceId gpu = device_.id();
  ScaleArgs& scales = c.grouping == Grouping::kNone ? scales_ : group_scales_;
  scales.a = masked ? Tensor(factors_.data(), DType::kF32, {c.groups, blocks, m}, gpu)
                    : Tensor(factors_.data(), DType::kF32, {blocks, m}, gpu);
  scales.a.strides[scales.a.rank - 2] = lines;
  if (masked) scales.a.strides[0] = lines * blocks;
  scales.a = scales.a.Transposed();
  scales.b = c.grouping == Grouping::kNone ? Tensor(factors_.data(), DType::kF32, {n_blocks, blocks}, gpu)
                                           : Tensor(factors_.data(), DType::kF32, {c.groups, n_blocks, blocks}, gpu);
  args.scales = &scales;
}

void OperandPool::SetGroups(const Case& c, GemmArgs& args) {
  const bool masked = c.grouping == Grouping::kMasked;
  const std::int64_t count = masked ? c.groups : c.groups * c.m;
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) numbers[i] = static_cast<std::int32_t>(masked ? c.m : i / c.m);
  device_.Copy(group_numbers_.data(), numbers.data(), numbers.size() * sizeof(std::int32_t));
  device_.Synchronize();
  groups_ = {};
  (masked ? groups_.counts : groups_.index) = Tensor(group_numbers_.data(), DType::kS32, {count}, device_.id());
  groups_.expected_m = c.m;
  args.groups = &groups_;
}

}  // namespace gemmsmith::bench
