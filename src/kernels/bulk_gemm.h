#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/family.h"
#include "kernels/split_k.h"

namespace gemmsmith {

// What the families have in common whose kernels are fed by bulk copies, and whose blocks go from tile to tile.

inline constexpr int kBulkRowBytes = 128;  // of k, in one stage

/// Whether elements along k are contiguous.
bool AAlongK(const GemmProblem& problem);
bool BAlongK(const GemmProblem& problem);

/// Why bulk copies cannot bring the operands; empty if they can. `tiles`: the most that a kernel makes.
std::string WhyNotBulk(const GemmProblem& problem, double tiles);
/// Whether D, of a type that the family's kernels can write so, can leave by bulk copies from tiles of `block_n`
/// columns: it is alpha * A * B, and its lines are aligned.
bool CanBulkD(const GemmProblem& problem, int block_n);

/// How blocks share what is multiplied.
struct BulkTiling {
  int block_m, block_n;
  int cluster_m, cluster_n;  ///< Blocks of a cluster.
  int ctas;                  ///< Of the grid.
  bool swap = false;         ///< D^T = B^T * A^T is: A's place is B's, and block_m is of n.
};

/// The parameters of a kernel, without the pointers of a call: with those of the problem's epilogue where it has one.
/// `rows_d`: that D leaves in at once, by bulk copies; 0: it leaves otherwise.
void SetBulkParams(LaunchStep& step, const GemmProblem& problem, const BulkTiling& tiling, const SplitK& split,
                   int rows_d);
/// A call's operands, D and factors of blocks.
void BindBulk(const GemmArgs& args, bool swap, Sm90Params& params);

}  // namespace gemmsmith
