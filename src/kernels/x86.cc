#include "kernels/cpu_family.h"

namespace gemmsmith {
namespace {

/// Micro-kernels that AsmJit assembles at run time (jit/x86).
class X86 final : public CpuFamily {
 public:
  std::string_view name() const override { return "x86"; }
  bool Targets(const CodeTarget& target) const override { return target.isa == Isa::kX86; }

 protected:
  std::span<const Tile> Tiles(const CodeTarget& target, CpuMath math) const override {
    static constexpr Tile kAvx2[] = {{6, 2}, {12, 1}, {2, 4}};
    static constexpr Tile kAvx2Pairs[] = {{5, 2}, {12, 1}, {2, 4}};  // Products need a register before they are added.
    static constexpr Tile kAvx512[] = {{6, 4}, {9, 3}, {14, 2}, {28, 1}, {4, 6}, {2, 8}};
    if (target.version >= 512) return kAvx512;
    if (math == CpuMath::kS16) return kAvx2Pairs;
    return kAvx2;
  }
  int VectorBytes(const CodeTarget& target) const override { return target.version >= 512 ? 64 : 32; }
  bool FitsRows() const override { return true; }
  int DotRows(const CodeTarget& target) const override { return target.version >= 512 ? 6 : 2; }
  bool Sweeps(const CodeTarget& target, CpuMath math) const override {
    return target.version >= 512 && math != CpuMath::kS16;
  }
  CpuMath MathOf(DType a_type, DType b_type, const CodeTarget& target) const override {
    if (a_type == DType::kF64) return CpuMath::kF64;
    if (Info(b_type).is_integer()) {
      if (target.version < 513) return CpuMath::kS16;
      return b_type == DType::kS8 ? CpuMath::kU8S8 : CpuMath::kS8U8;  // A is what is flipped: it is the smaller one.
    }
    const bool pairs = a_type == DType::kBf16 && b_type == DType::kBf16 && target.version >= 514;
    return pairs ? CpuMath::kBf16 : CpuMath::kF32;
  }
};

}  // namespace

const KernelFamily& X86Family() {
  static const X86 family;
  return family;
}

}  // namespace gemmsmith
