#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "jit/compiler.h"
#include "kernels/family.h"
#include "runtime/cpu/cpu_device.h"
#include "runtime/cpu/cpu_info.h"
#include "runtime/cpu/cpu_kernel.h"

namespace gemmsmith {

const KernelFamily& X86Family();
const KernelFamily& PortableFamily();

namespace testing_support {

inline const KernelFamily& FamilyFor(const CodeTarget& target) {
  return target.isa == Isa::kX86 ? X86Family() : PortableFamily();
}

inline std::shared_ptr<const CpuKernel> MakeCpuKernel(const GemmProblem& problem, const TileConfig& config,
                                                      const CodeTarget& target) {
  const auto compiler = target.isa == Isa::kX86 ? OpenX86Compiler() : OpenBuiltinCompiler();
  return LoadCpuKernel(compiler->Compile(FamilyFor(target).Render(problem, config, target, {}), {}));
}

inline void LaunchOnCpu(const CpuKernel& kernel, const LaunchStep& prepared, const GemmArgs& args) {
  LaunchStep step = prepared;
  step.bind(args, step.params.data());
  void* const parameters[] = {step.params.data()};
  kernel.Launch(step.grid, step.block, step.cluster, 0, parameters, {});
}

/// Two threads, whatever this machine has.
inline DeviceSpec SpecFor(const CodeTarget& target) {
  DeviceSpec spec = CpuSpec();
  spec.target = target;
  spec.multiprocessors = 2;
  return spec;
}
/// Blocks small enough that small problems have several.
inline void Shrink(TileConfig& config) {
  for (std::size_t i = 0; i < config.fields.size(); ++i) {
    if (config.fields[i].name == "kc") config[i] = 24;
    if (config.fields[i].name == "mc") config[i] = 2 * config.Get("mr");
    if (config.fields[i].name == "nc") config[i] = 2 * config.Get("nr");
    if (config.fields[i].name == "threads") config[i] = 2;
  }
}

/// Targets of this CPU that compute `problem` each in a way of its own: the best first of those with the same kernels.
inline std::vector<CodeTarget> DistinctTargets(const GemmProblem& problem) {
  std::vector<CodeTarget> targets;
  std::vector<std::string> kernels;
  for (const CodeTarget& target : CpuTargets()) {
    const KernelFamily& family = FamilyFor(target);
    const TileConfig config = family.Candidates(problem, target, SpecFor(target))[0];
    const std::string kernel = family.Render(problem, config, target, {}).text;
    if (std::find(kernels.begin(), kernels.end(), kernel) != kernels.end()) continue;
    kernels.push_back(kernel);
    targets.push_back(target);
  }
  return targets;
}

/// Memory whose last element is followed by a page that may not be touched.
template <class T>
class GuardedMemory {
 public:
  explicit GuardedMemory(std::int64_t elements) : elements_(elements) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(elements) * sizeof(T), pages = (bytes + page - 1) / page * page;
    mapped_ = pages + page;
    base_ = static_cast<std::byte*>(mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + pages, page, PROT_NONE) != 0) std::abort();
    data_ = reinterpret_cast<T*>(base_ + pages - bytes);
  }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory() { munmap(base_, mapped_); }
  T* begin() const { return data_; }
  T* end() const { return data_ + elements_; }

 private:
  std::int64_t elements_;
  std::byte* base_;
  std::size_t mapped_;
  T* data_;
};

/// The matrices of a batch, row- or column-major, `gap` elements after each line; the very last line has none.
template <class T>
struct Operand {
  Operand(std::int64_t batch, std::int64_t rows, std::int64_t columns, bool column_major, std::int64_t gap)
      : ld((column_major ? rows : columns) + gap),
        stride(column_major ? ld * columns : ld * rows),
        row(column_major ? 1 : ld),
        column(column_major ? ld : 1),
        memory(rows * columns == 0 ? 0 : stride * (batch - 1) + (rows - 1) * row + (columns - 1) * column + 1) {}
  T& At(std::int64_t matrix, std::int64_t i, std::int64_t j) const {
    return memory.begin()[matrix * stride + i * row + j * column];
  }
  void FillRandom(std::mt19937_64& random) {
    std::uniform_real_distribution<T> uniform(-1, 1);
    for (T& element : memory) element = uniform(random);
  }
  Tensor AsTensor(std::int64_t rows, std::int64_t columns) const { return Tensor(memory.begin(), {rows, columns}); }

  std::int64_t ld, stride, row, column;
  GuardedMemory<T> memory;
};

}  // namespace testing_support
}  // namespace gemmsmith
