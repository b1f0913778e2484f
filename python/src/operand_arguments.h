#pragma once

#include <nanobind/nanobind.h>

#include <string_view>

#include "bindings.h"
#include "call.h"

// What gemm, Gemm and grouped_gemm take by name, in this order.
#define GEMMSMITH_OPERANDS                                                                                            \
  nb::arg("c") = nb::none(), nb::arg("bias") = nb::none(), nb::arg("bias_m") = nb::none(),                            \
  nb::arg("residual") = nb::none(), nb::arg("scale_row") = nb::none(), nb::arg("scale_column") = nb::none(),          \
  nb::arg("scale_block") = nb::none(), nb::arg("scalar") = nb::none(), nb::arg("d_scale") = nb::none(),               \
  nb::arg("d_scale_row") = nb::none(), nb::arg("d_scale_column") = nb::none(), nb::arg("d_scale_block") = nb::none(), \
  nb::arg("amax_row") = nb::none(), nb::arg("amax_column") = nb::none(), nb::arg("amax_block") = nb::none(),          \
  nb::arg("scale_a") = nb::none(), nb::arg("scale_b") = nb::none(), nb::arg("stream") = nb::none(),                   \
  nb::arg("overlap") = false
#define GEMMSMITH_OPERAND_PARAMETERS                                                                                  \
  nb::handle c, nb::handle bias, nb::handle bias_m, nb::handle residual, nb::handle scale_row,                        \
      nb::handle scale_column, nb::handle scale_block, nb::handle scalar, nb::handle d_scale, nb::handle d_scale_row, \
      nb::handle d_scale_column, nb::handle d_scale_block, nb::handle amax_row, nb::handle amax_column,               \
      nb::handle amax_block, nb::handle scale_a, nb::handle scale_b, nb::handle stream, bool overlap
#define GEMMSMITH_OPERAND_VALUES                                                                                 \
  c.ptr(), bias.ptr(), bias_m.ptr(), residual.ptr(), scale_row.ptr(), scale_column.ptr(), scale_block.ptr(),     \
      scalar.ptr(), d_scale.ptr(), d_scale_row.ptr(), d_scale_column.ptr(), d_scale_block.ptr(), amax_row.ptr(), \
      amax_column.ptr(), amax_block.ptr(), scale_a.ptr(), scale_b.ptr(), stream.ptr(), overlap
#define GEMMSMITH_OPERAND_SIGNATURE                                                                         \
  "c: typing.Any = None, bias: typing.Any = None, bias_m: typing.Any = None, residual: typing.Any = None, " \
  "scale_row: typing.Any = None, scale_column: typing.Any = None, scale_block: typing.Any = None, "         \
  "scalar: typing.Any = None, d_scale: typing.Any = None, d_scale_row: typing.Any = None, "                 \
  "d_scale_column: typing.Any = None, d_scale_block: typing.Any = None, amax_row: typing.Any = None, "      \
  "amax_column: typing.Any = None, amax_block: typing.Any = None, scale_a: typing.Any = None, "             \
  "scale_b: typing.Any = None, stream: typing.Any = None, overlap: bool = False"

namespace gemmsmith::python {

/// Of a call that is described by these alone. A bias without an epilogue is one that is added.
inline CallOptions OptionsOf(nb::handle alpha, nb::handle beta, nb::handle epilogue, nb::handle dtype,
                             const char* compute, nb::handle bias) {
  CallOptions options;
  options.alpha = alpha.ptr(), options.beta = beta.ptr();
  options.epilogue = EpilogueOf(epilogue.ptr());
  if (options.epilogue == nullptr && Given(bias)) options.epilogue = EpilogueOf(nb::str("bias").ptr());
  if (Given(dtype)) options.dtype = DTypeOfObject(dtype.ptr());
  if (std::string_view(compute) != "ieee") options.compute = ModeOf(compute);
  return options;
}

}  // namespace gemmsmith::python
