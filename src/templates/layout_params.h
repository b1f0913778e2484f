#pragma once

// Arguments of the kernels that change layouts, shared by host and device. Plain values only; no includes, so that
// NVRTC reads it as it is. Apart from those of products: who changes these compiles no product anew.

namespace gemmsmith {

/// A copy of f32 factors (batch, rows, steps) with other strides, or packed as exponents. Strides in elements.
struct ScaleLayoutParams {
  const float* from;
  void* to;
  long long batch, rows, steps;  // rows of `to`, steps of `from`
  long long gran;                // rows of `to` that share one of `from`; below 2^31, as rows
  long long from_batch, from_row, from_step;
  long long to_batch, to_row, to_step;  // a step of packed ones: a word
};
static_assert(sizeof(ScaleLayoutParams) == 12 * 8, "no padding, so that host and device cannot disagree");

/// A cast of (batch, rows, columns) to 8-bit floats and their factors. Strides in elements.
struct CastParams {
  const void* from;
  void* to;
  void* scales;  // f32; or a byte for each, four in a word
  long long batch, rows, columns;
  long long tiles_across, tiles_down;
  long long from_batch, from_row, to_batch, to_row;
  long long scale_batch, scale_row, scale_column;
  float least;                                   // of a maximum
  enum : int { kPlain, kPowers, kPacked } form;  // of factors: any, powers of two, exponents of such
};
static_assert(sizeof(CastParams) == 15 * 8 + 2 * 4, "no padding");

/// A copy of rows in groups, from one after the other to groups that begin at multiples of `alignment`, or back.
struct GroupRowsParams {
  const void* from;
  void* to;
  const int* counts;  // (groups)
  int* indices;       // (rows of `to`), or null
  int* ends;          // (groups), or null
  long long from_rows, to_rows;
  long long from_stride, to_stride;  // bytes
  long long row_bytes, alignment;
  int groups;
  int access;  // bytes, 1 to 16, that divide all addresses
};
static_assert(sizeof(GroupRowsParams) == 11 * 8 + 2 * 4, "no padding");

}  // namespace gemmsmith
