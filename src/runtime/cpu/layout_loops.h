#pragma once

#include "gemmsmith/dtype.h"
#include "kernels/layout_kernels.h"
#include "templates/layout_params.h"

namespace gemmsmith {

// What the kernels of LayoutKernel do, with the same parameters, and the same bits but for those of NaNs.

void CopyScales(const ScaleLayoutParams& params, bool packed);
/// From f32, f16 or bf16 to e4m3 or e5m2.
void CastFp8(const CastParams& params, CastFactors factors, DType from, DType to);
/// `back`: from aligned groups. Throws kInvalidArgument for counts that are negative, or more than the rows there are.
void CopyGroupRows(const GroupRowsParams& params, bool back);

}  // namespace gemmsmith
