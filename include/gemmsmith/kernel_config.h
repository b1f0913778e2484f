#pragma once

#include <cstdint>

#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

struct EngineOptions;

// What a caller may ask of the kernels that are chosen, in three steps, each with all of the one before. A zero leaves
// the choice open. docs/layouts.md says what each of the numbers is elsewhere.

/// The tile of a kernel: only kernels with these numbers are chosen. One that has no such number, as kernels for the
/// CPU have no stages, is not.
struct BaseConfig {
  int block_m = 0, block_n = 0;  ///< Of D, in one block of threads.
  int block_k = 0;               ///< Of k, in one step.
  int warp_m = 0, warp_n = 0;    ///< Warps of a block below and beside each other ("sm80").
  int stages = 0;                ///< Steps of k in shared memory at once.

  friend bool operator==(const BaseConfig&, const BaseConfig&) = default;
};

/// How factors of 8-bit operands are stored.
enum class ScaleFormat : std::uint8_t {
  kF32,         ///< One f32 each.
  kPackedUe8m0  ///< Powers of two, a byte each, four along k in an s32, the first in the lowest byte (sm_100).
};

struct FP8Config : BaseConfig {
  bool use_ue8m0_cast = false;  ///< Casts round scales up to powers of two.
  ScaleFormat scale_format = ScaleFormat::kF32;
  bool enable_fast_math = false;  ///< CompileOptions::fast_math.

  friend bool operator==(const FP8Config&, const FP8Config&) = default;
};

struct MoEConfig : FP8Config {
  bool use_masked_computation = false;  ///< Each expert has rows of its own; else all experts' rows follow each other.
  int expert_alignment = 128;           ///< Rows: each expert's are padded to a multiple.
  bool enable_tma_multicast = true;     ///< False: no kernels whose blocks load tiles for each other.

  Grouping grouping() const { return use_masked_computation ? Grouping::kMasked : Grouping::kContiguous; }
  friend bool operator==(const MoEConfig&, const MoEConfig&) = default;
};

/// `options` with all of `config` that an engine's kernels are chosen and compiled by.
GEMMSMITH_API EngineOptions WithConfig(EngineOptions options, const FP8Config& config);
GEMMSMITH_API EngineOptions WithConfig(EngineOptions options, const MoEConfig& config);

}  // namespace gemmsmith
