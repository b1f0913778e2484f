#pragma once

#include <string>
#include <string_view>

#include "epilogue/trace.h"

namespace gemmsmith {

/// A canonical trace as a type for the templates, the same text whenever it is rendered:
///   struct NAME { enum : bool { kPaired = ... }; template <...> static void Apply(const Inputs& in, Outputs& out); };
/// The template brings Inputs and Outputs with a method for each row of epilogue.def; those that the trace does not use
/// are never called. The text needs templates/epilogue.cuh.
std::string CudaText(const OpTrace& trace, std::string_view name);

}  // namespace gemmsmith
