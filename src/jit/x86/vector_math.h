#pragma once

#include "gemmsmith/dtype.h"
#include "jit/x86/vector_program.h"

namespace gemmsmith {

// Functions of f32 within 2 ulp for all inputs, denormals, infinities and NaN included: vector_math.cc has the worst of
// each.
V Exp(V x);
V Log(V x);
V Tanh(V x);
V Erf(V x);
V Rsqrt(V x);

V Abs(V x);
V Negated(V x);
/// IEEE 754-2019: NaN if either is, and -0 is less than +0.
V Minimum(V x, V y);
V Maximum(V x, V y);
/// Towards zero; saturates, and NaN becomes 0.
V TruncatedS32(V x);

/// The nearest value of a narrower type as an f32, as the epilogues' RoundTo.
V RoundedTo(DType dtype, V x);
/// What Encode stores for an f32, in the low bits of each lane, s32 and s8 with their sign; f32 and f16 as they are,
/// because storing converts them. `rounded`: x is what RoundedTo made.
V Encoded(DType dtype, V x, bool rounded);
/// Likewise for an s32.
V EncodedS32(DType dtype, V x);
/// An f32 of what was loaded: e4m3 and e5m2 in the low bits of each lane, integers as s32.
V Decoded(DType dtype, V bits);

}  // namespace gemmsmith
