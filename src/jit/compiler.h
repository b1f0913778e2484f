#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "artifact.h"
#include "gemmsmith/kernel.h"
#include "gemmsmith/options.h"

namespace gemmsmith {

struct CompileControl {
  CancellationToken cancel;
  std::chrono::seconds timeout{600};
};

/// KernelSource -> Artifact. Stateless after construction; thread-safe.
class Compiler {
 public:
  virtual ~Compiler() = default;
  virtual std::string_view name() const = 0;  ///< "nvrtc", "nvcc", "x86", "builtin".
  /// The full toolchain with its build; part of the key.
  virtual const std::string& version() const = 0;
  /// The library or executable; empty for what is built in.
  virtual const std::string& path() const = 0;
  virtual bool Supports(const CodeTarget& target) const = 0;
  /// CPU kernels: making one costs less than reading one, so that the disk tier is skipped.
  virtual bool cheap() const { return false; }
  /// For CUDA both parts, "cubin" and "ptx". Throws CompileError, or Error kCancelled.
  virtual Artifact Compile(const KernelSource& source, const CompileControl& control) const = 0;
};

/// Opens NVRTC: Environment::nvrtc, the toolkit, pip's wheels, the loader's path. Throws kNotFound: where it looked,
/// what to install or set. Found once per process.
std::shared_ptr<const Compiler> OpenNvrtc();
/// Finds nvcc: Environment::nvcc, the toolkit, PATH. Throws kNotFound.
std::shared_ptr<const Compiler> OpenNvcc();
std::shared_ptr<const Compiler> OpenX86Compiler();
std::shared_ptr<const Compiler> OpenBuiltinCompiler();

/// The machine code of an x86 kernel in words: entries by name, each instruction with its offset and bytes. Throws what
/// compiling it throws.
std::string ListCode(const KernelSource& source);

/// The compiler for `target`; for CUDA the one called `name` ("nvrtc", "nvcc"; empty: NVRTC, else nvcc).
/// Throws kNotFound or kUnsupported.
std::shared_ptr<const Compiler> FindCompiler(const CodeTarget& target, std::string_view name);

}  // namespace gemmsmith
