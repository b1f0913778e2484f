#pragma once

// Kernels for the tests of the CUDA compilers.

#include <memory>
#include <string>
#include <vector>

#include "gemmsmith/error.h"
#include "jit/compiler.h"
#include "kernels/family.h"

namespace gemmsmith {

const KernelFamily& SimtFamily();

/// `open`'s compiler, or null and the reason in `why` where it is missing.
inline std::shared_ptr<const Compiler> OpenOrNull(std::shared_ptr<const Compiler> (*open)(), std::string& why) {
  try {
    return open();
  } catch (const Error& error) {
    if (error.code() != Code::kNotFound) throw;
    why = error.what();
    return nullptr;
  }
}

inline KernelSource UserSource(std::string text, std::string entry, CodeTarget target = {Isa::kCuda, 80, 0}) {
  KernelSource source;
  source.name = "user";
  source.target = target;
  source.text = std::move(text);
  source.entry = std::move(entry);
  return source;
}

inline KernelSource TinySource() {
  return UserSource("extern \"C\" __global__ void Tiny(float* x) { x[threadIdx.x] *= 2; }\n", "Tiny");
}

/// A kernel that cannot do without local memory.
inline KernelSource LocalMemorySource() {
  return UserSource(
      "extern \"C\" __global__ void Local(float* x, int n) {\n"
      "  float values[16];\n"
      "  for (int i = 0; i < 16; ++i) values[i] = x[i];\n"
      "  for (int i = 0; i < n; ++i) values[i * 7 % 16] += x[i];\n"
      "  x[0] = values[n % 16];\n"
      "}\n",
      "Local");
}

/// All SIMT kernels for a dense problem of `dtype`, the default first.
inline std::vector<KernelSource> SimtSources(DType dtype, Layout a, Layout b, BetaClass beta,
                                             const CodeTarget& target) {
  GemmProblem p;
  p.m = p.n = p.k = 1024;
  p.lda = p.ldb = p.ldc = p.ldd = 1024;
  p.a_type = p.b_type = p.c_type = p.d_type = dtype;
  p.acc_type = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  p.a_layout = a, p.b_layout = b, p.beta = beta;
  p.alignment = 4;
  DeviceSpec spec;
  spec.multiprocessors = 132;
  std::vector<KernelSource> sources;
  for (const TileConfig& config : SimtFamily().Candidates(p, target, spec))
    sources.push_back(SimtFamily().Render(p, config, target, {}));
  return sources;
}

}  // namespace gemmsmith
