#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "artifact.h"
#include "gemmsmith/kernel.h"

namespace gemmsmith {

/// The options that NVRTC and nvcc share, so that either makes the same code from the same source.
std::vector<std::string> CudaOptions(const KernelSource& source);

/// Throws a CompileError with the source saved, so that it can be compiled by hand.
[[noreturn]] void ThrowCompileError(const KernelSource& source, std::string_view compiler, std::string_view reason,
                                    std::string log);

/// Fills in what the cubin tells (resources) and what the clock tells; logs local memory where the options ask for it.
/// `lowered_name` must be a kernel of the cubin; throws kInternal if not.
void CompleteArtifact(const KernelSource& source, Artifact& artifact);

/// Throws kUnsupported, listing `versions` (75, 80, ...), unless the target's is among them.
void RequireSupported(const KernelSource& source, std::string_view compiler, const std::vector<int>& versions);

/// "kernel simt_f32 for sm_90a".
std::string Describe(const KernelSource& source);

}  // namespace gemmsmith
