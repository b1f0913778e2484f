#include "kernels/cpu_family.h"

namespace gemmsmith {
namespace {

/// Micro-kernels that the library was compiled with, for any CPU (runtime/cpu/portable_kernels.cc).
class Portable final : public CpuFamily {
 public:
  std::string_view name() const override { return "portable"; }
  bool Targets(const CodeTarget& target) const override { return target.isa == Isa::kPortable; }

 protected:
  std::span<const Tile> Tiles(const CodeTarget&, CpuMath) const override {
    static constexpr Tile kTiles[] = {{4, 2}};
    return kTiles;
  }
  int VectorBytes(const CodeTarget&) const override { return 16; }
  bool FitsRows() const override { return false; }
  int DotRows(const CodeTarget&) const override { return 0; }
  bool Sweeps(const CodeTarget&, CpuMath) const override { return false; }
  CpuMath MathOf(DType a_type, DType, const CodeTarget&) const override {
    if (a_type == DType::kF64) return CpuMath::kF64;
    return Info(a_type).is_integer() ? CpuMath::kS16 : CpuMath::kF32;
  }
};

}  // namespace

const KernelFamily& PortableFamily() {
  static const Portable family;
  return family;
}

}  // namespace gemmsmith
