#pragma once

#include <string>
#include <string_view>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// The machine code (SASS) of a cubin as text, by nvdisasm or cuobjdump: the first that takes it of those in the
/// toolkit (CUDA_HOME), PATH and pip's wheels. Throws kNotFound where there is neither, kUnsupported for what they do
/// not take.
GEMMSMITH_API std::string Disassemble(std::string_view cubin);

}  // namespace gemmsmith
