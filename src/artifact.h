#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "gemmsmith/kernel.h"
#include "gemmsmith/target.h"

namespace gemmsmith {

/// What a compile yields and a device loads. Immutable once made; shared by reference.
struct Artifact {
  /// Bytes by kind: "cubin", "ptx", "x86"; "builtin" names a function that this library was built with.
  std::map<std::string, std::string, std::less<>> parts;

  std::string kernel_name;   ///< As the source calls it.
  std::string lowered_name;  ///< As the binary calls it.
  CodeTarget target;
  std::string problem, config;  ///< For people; empty for a user's kernel.
  std::string compiler;         ///< "nvrtc 13.0.88 (...)".
  std::string log;              ///< Warnings of the compiler.
  double compile_ms = 0;
  std::int64_t created_unix = 0;  ///< Seconds.
  KernelResources resources;

  bool has(std::string_view part) const { return parts.find(part) != parts.end(); }
  /// Bytes of all parts.
  std::size_t size() const {
    std::size_t bytes = 0;
    for (const auto& [kind, data] : parts) bytes += data.size();
    return bytes;
  }
  friend bool operator==(const Artifact&, const Artifact&) = default;
};

}  // namespace gemmsmith
