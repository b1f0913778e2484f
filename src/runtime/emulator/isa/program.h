#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/kernel.h"
#include "gemmsmith/target.h"
#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/machine/code.h"
#include "runtime/emulator/machine/memory_map.h"

namespace gemmsmith::emulator {

/// A kernel of a program, and what its text demands of launches.
struct KernelInfo {
  const Function* function = nullptr;
  std::uint32_t parameter_bytes = 0;
  Dim3 max_threads{0, 0, 0}, required_threads{0, 0, 0}, required_cluster{0, 0, 0};  ///< 0: not given.
  std::uint32_t max_registers = 0, max_cluster_rank = 0;
  bool explicit_cluster = false;
};

/// A loaded PTX module: decoded functions, and memory for its global and constant variables.
class Program {
 public:
  /// Throws kInvalidArgument for malformed text, kUnsupported for what the emulator does not run, with the line.
  Program(std::string_view text, const CodeTarget& device);

  /// Throws kNotFound, naming those there are.
  const KernelInfo& Kernel(const std::string& name) const;
  const std::vector<std::unique_ptr<Function>>& functions() const { return functions_; }
  std::uint32_t static_shared_bytes() const { return static_shared_; }
  const std::vector<SharedVariable>& shared_variables() const { return shared_variables_; }
  const std::vector<Region>& regions() const { return regions_; }

 private:
  void CheckTarget(const ptx::Module& module, const CodeTarget& device) const;
  void Place(const ptx::Module& module);
  void PlaceVariable(const ptx::Variable& variable, const std::string& name);
  void PlaceExternShared(const ptx::Module& module);
  void Initialise(const ptx::Variable& variable);
  void AddFunctions(const ptx::Module& module);
  void AddKernel(const ptx::Function& source, const Function& function);

  ModuleSymbols symbols_;
  std::vector<std::unique_ptr<std::byte[]>> storage_;
  std::vector<Region> regions_;
  std::uint32_t static_shared_ = 0;
  std::vector<SharedVariable> shared_variables_;
  std::vector<std::unique_ptr<Function>> functions_;
  std::map<std::string, KernelInfo, std::less<>> kernels_;
};

}  // namespace gemmsmith::emulator
