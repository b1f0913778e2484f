#pragma once

namespace gemmsmith {

/// How the threads of a GEMM on plain FMA units read one operand. "Lines" are rows of A and columns of B.
struct SimtOperand {
  int block_lines = 1;   ///< One block's.
  int thread_lines = 1;  ///< Neighbouring ones that a thread multiplies.
  /// Lane l of a warp reads part (l / lane_divisor) % lane_parts of thread_lines lines.
  int lane_divisor = 1, lane_parts = 32;
  int read_vector = 1;  ///< Elements of one read in the inner loop.
  /// Through shared memory, into which each thread copies copy_lines by copy_steps neighbouring elements at a time;
  /// else read from L1 in each step of k.
  bool staged = true;
  int copy_lines = 1, copy_steps = 1;
  int copy_vector = 1;    ///< Elements of one global access: along the lines, or along k,
  bool along_k = false;   ///< and then neighbouring lanes copy along k too.
  int padding_words = 0;  ///< Of shared memory, behind the lines of each step of k.
  int element_bytes = 4;  ///< In global memory.
};

/// What the cost model needs to know of such a kernel.
struct SimtKernel {
  SimtOperand a, b;
  int threads = 32;
  int tile_steps = 1;     ///< Steps of k between barriers.
  int unrolled = 1;       ///< Steps of k whose reads are issued together.
  int element_words = 1;  ///< Of 32 bits, in registers and shared memory.
  /// The next tile's elements wait in registers while this one, in one of two buffers, is multiplied.
  bool double_buffered = false;
};

}  // namespace gemmsmith
