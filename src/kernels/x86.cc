#include "kernels/cpu_family.h"

namespace gemmsmith {
namespace {

/// Micro-kernels that AsmJit assembles at run time (jit/x86).
class X86 final : public CpuFamily {
 public:
  std::string_view name() const override { return "x86"; }
  bool Targets(const CodeTarget& target) const override { return target.isa == Isa::kX86; }

 protected:
  std::span<const Tile> Tiles(const CodeTarget& target) const override {
    static constexpr Tile kAvx2[] = {{6, 2}, {12, 1}, {2, 4}};
    static constexpr Tile kAvx512[] = {{6, 4}, {9, 3}, {14, 2}, {28, 1}, {4, 6}, {2, 8}};
    if (target.version == 512) return kAvx512;
    return kAvx2;
  }
  int VectorBytes(const CodeTarget& target) const override { return target.version == 512 ? 64 : 32; }
  bool FitsRows() const override { return true; }
  int DotRows(const CodeTarget& target) const override { return target.version == 512 ? 6 : 2; }
  CpuMath MathOf(DType a_type, DType, const CodeTarget&) const override {
    return a_type == DType::kF64 ? CpuMath::kF64 : CpuMath::kF32;
  }
};

}  // namespace

const KernelFamily& X86Family() {
  static const X86 family;
  return family;
}

}  // namespace gemmsmith
