#include "case.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

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
  return fmt::format(
      "{}{}{}{} {}x{}x{}", gemmsmith::ToString(c.ab), c.d == c.ab ? "" : fmt::format("->{}", gemmsmith::ToString(c.d)),
      c.compute == ComputeMode::kTf32 ? " as tf32" : "",
      c.scaling == Scaling::kNone ? "" : fmt::format(" scaling {}", gemmsmith::ToString(c.scaling)), c.m, c.n, c.k);
}

const std::vector<std::string>& SetNames() {
  static const std::vector<std::string> names = {"bf16", "fp8", "types"};
  return names;
}

std::vector<Case> CasesOf(const std::string& set, bool quick) {
  std::vector<Case> cases = set == "bf16" ? Bf16Cases() : set == "fp8" ? Fp8Cases() : TypesCases();
  if (quick) std::erase_if(cases, [](const Case& c) { return c.flops() > 2e10; });
  if (quick && cases.size() > 6) cases.resize(6);
  return cases;
}

OperandPool::OperandPool(Device& device, const std::vector<Case>& cases) : device_(device) {
  std::size_t factors = 0;
  for (const Case& c : cases) {
    inputs_bytes_ = std::max(inputs_bytes_, Sets(c) * (Rounded(c.a_bytes()) + Rounded(c.b_bytes())));
    outputs_bytes_ = std::max(outputs_bytes_, Sets(c) * Rounded(c.d_bytes()));
    factors = std::max(factors, static_cast<std::size_t>(std::max(c.m, c.n) * (c.k / 128 + 1)) * sizeof(float));
  }
  inputs_ = device_.Allocate(inputs_bytes_);
  outputs_ = device_.Allocate(outputs_bytes_);
  factors_ = device_.Allocate(factors);
  std::vector<float> host(factors / sizeof(float));
  FillRandom(Tensor(host.data(), {static_cast<std::int64_t>(host.size())}), 1);
  device_.Copy(factors_.data(), host.data(), factors);
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
  const DeviceId gpu = device_.id();
  GemmArgs args;
  args.a = Tensor(inputs, c.ab, {c.m, c.k}, gpu);
  args.b = Tensor(inputs + Rounded(c.a_bytes()), c.ab, {c.n, c.k}, gpu).Transposed();
  args.d = Tensor(outputs, c.d, {c.m, c.n}, gpu);
  if (c.scaling == Scaling::kNone) return args;
  // Lines along m, and of as many bytes as bulk copies want, as peers take them.
  const std::int64_t blocks = (c.k + 127) / 128, lines = (c.m + 3) / 4 * 4;
  scales_.a = Tensor(factors_.data(), DType::kF32, {blocks, c.m}, gpu);
  scales_.a.strides[0] = lines;
  scales_.a = scales_.a.Transposed();
  scales_.b = Tensor(factors_.data(), DType::kF32, {(c.n + 127) / 128, blocks}, gpu);
  args.scales = &scales_;
  return args;
}

}  // namespace gemmsmith::bench
