#pragma once

#include "kernels/cpu_gemm.h"
#include "kernels/family.h"

namespace gemmsmith {

/// What the CPU families share: configs, recipes and launches of CpuGemmParams. A family adds its targets and tiles.
class CpuFamily : public KernelFamily {
 public:
  std::span<const ConfigField> fields() const override;
  std::string WhyNot(const GemmProblem& problem, const CodeTarget& target) const override;
  std::vector<TileConfig> Candidates(const GemmProblem& problem, const CodeTarget& target,
                                     const DeviceSpec& spec) const override;
  TileShape Shape(const GemmProblem& problem, const TileConfig& config, const DeviceSpec& spec) const override;
  KernelSource Render(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target,
                      const CompileOptions& options) const override;
  LaunchStep MakeLaunch(const GemmProblem& problem, const TileConfig& config) const override;
  PackedForm Packed(DType dtype, const CodeTarget& target) const override;

 protected:
  /// A register tile: rows by vectors of columns, or by columns for dot products.
  struct Tile {
    int rows, vectors;
  };
  /// The largest tile of each width, the one for large problems first. It alone is used where B comes packed.
  virtual std::span<const Tile> Tiles(const CodeTarget& target, CpuMath math) const = 0;
  virtual int VectorBytes(const CodeTarget& target) const = 0;
  /// False: a tile has all its rows, whatever m (compiled-in kernels).
  virtual bool FitsRows() const = 0;
  /// Rows of the largest tile for dot products; 0: there is none.
  virtual int DotRows(const CodeTarget& target) const = 0;
  /// Whether there are sweeps of such a math.
  virtual bool Sweeps(const CodeTarget& target, CpuMath math) const = 0;
  /// The fastest math for such operands, which are stored as WhyNot allows.
  virtual CpuMath MathOf(DType a_type, DType b_type, const CodeTarget& target) const = 0;

 private:
  std::vector<CpuPath> RankPaths(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec) const;
  std::vector<Tile> RankTiles(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                              CpuPath path) const;
  TileConfig MakeConfig(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec, Tile tile,
                        int threads, CpuPath path) const;
};

}  // namespace gemmsmith
