#pragma once

#include <span>
#include <string_view>

namespace gemmsmith {

/// A file of the source tree that the build put into the library (cmake/embed.cmake).
struct EmbeddedFile {
  std::string_view name, text;
};
std::span<const EmbeddedFile> Embedded_templates();
std::span<const EmbeddedFile> Embedded_core();
std::span<const EmbeddedFile> Embedded_shapes();

}  // namespace gemmsmith
