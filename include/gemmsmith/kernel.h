#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gemmsmith/config.h"
#include "gemmsmith/export.h"
#include "gemmsmith/options.h"
#include "gemmsmith/stream.h"
#include "gemmsmith/target.h"

namespace gemmsmith {

struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
  friend bool operator==(const Dim3&, const Dim3&) = default;
};

/// What a compiled kernel takes. For CUDA read from the cubin.
struct KernelResources {
  int registers = 0;            ///< Per thread at launch.
  int spill_bytes = 0;          ///< Stack frame per thread; anything but 0 costs speed.
  int static_shared_bytes = 0;  ///< Per block.
  int max_threads = 0;          ///< Launch bound; 0: none given.
  std::int64_t code_bytes = 0;  ///< Of the machine code alone.

  friend bool operator==(const KernelResources&, const KernelResources&) = default;
};

/// Where an artifact came from.
enum class Origin : std::uint8_t { kCompiled, kMemory, kDisk, kBundle };
/// "compiled", "memory", "disk", "bundle".
GEMMSMITH_API std::string_view ToString(Origin origin);

/// One device header: what a source may #include by `name`.
struct SourceHeader {
  std::string name, text;
  friend bool operator==(const SourceHeader&, const SourceHeader&) = default;
};

/// A kernel as a compiler takes it. The families render these; users bring their own CUDA C++ in `text`.
struct KernelSource {
  std::string name;  ///< For people and lists; need not be unique.
  CodeTarget target;
  std::string text;                   ///< CUDA C++; for CPU targets the recipe in words.
  std::string entry;                  ///< The kernel: an extern "C" name, or a name expression such as "Gemm<64, 64>".
  std::vector<SourceHeader> headers;  ///< All that `text` can reach; nothing on disk is read.
  CompileOptions options;
  TileConfig config;    ///< What a family rendered from; empty for a user's kernel.
  std::string problem;  ///< For lists: which problems it serves, as far as the code is made for them. No part of a key.
};

/// A loaded kernel. Thread-safe; stays loaded while anyone holds it.
class GEMMSMITH_API Kernel {
 public:
  virtual ~Kernel() = default;

  virtual const std::string& name() const = 0;
  virtual const KernelResources& resources() const = 0;

  /// Starts the kernel on `stream`. `args[i]` points to the value of parameter i, which is copied before the call
  /// returns. Throws kInvalidArgument for limits of the device, kDevice for what the driver reports.
  virtual void Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t shared_bytes, std::span<void* const> args,
                      Stream stream) const = 0;
};

}  // namespace gemmsmith
