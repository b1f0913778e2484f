#include "runtime/cpu/cpu_kernel.h"

#include <cstring>

#include "runtime/cpu/cpu_info.h"
#include "runtime/cpu/executable_memory.h"
#include "runtime/cpu/portable_kernels.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

class LoadedKernel final : public CpuKernel {
 public:
  LoadedKernel(const Artifact& artifact, ExecutableMemory code, const MicroKernelSet& entries,
               const MicroKernelRecipe& recipe)
      : name_(artifact.kernel_name),
        resources_(artifact.resources),
        code_(std::move(code)),
        entries_(entries),
        recipe_(recipe) {
    entries_.recipe = &recipe_;
  }

  const std::string& name() const override { return name_; }
  const KernelResources& resources() const override { return resources_; }
  const MicroKernelSet& entries() const override { return entries_; }

  void Launch(Dim3 grid, Dim3 block, Dim3 cluster, std::uint32_t, std::span<void* const> args, Stream) const override {
    const auto empty = [](const Dim3& d) { return d.x == 0 || d.y == 0 || d.z == 0; };
    if (args.size() != 1 || args[0] == nullptr || empty(grid) || empty(block) || empty(cluster)) [[unlikely]]
      throw Fail(Code::kInvalidArgument, "pass one CpuGemmParams and a grid of at least 1",
                 "{}: launched with {} arguments on a grid of {}x{}x{}", name_, args.size(), grid.x, grid.y, grid.z);
    const auto& params = *static_cast<const CpuGemmParams*>(args[0]);
    Check(params);
    RunGemm(entries_, params);
  }

  std::unique_ptr<const SmallGemm> Record(const CpuGemmParams& params) const override {
    Check(params);
    return SmallGemm::Record(entries_, params);
  }

 private:
  void Check(const CpuGemmParams& params) const {
    if (!Fits(params)) [[unlikely]]
      throw Fail(Code::kInternal, "", "{}: made for \"{}\", launched for m={} with mr={} nr={}", name_,
                 ToString(recipe_), params.m, params.mr, params.nr);
  }
  /// Code for another tile would write outside D.
  bool Fits(const CpuGemmParams& p) const {
    const bool dots = recipe_.dots != 0;
    if (p.math != recipe_.math || p.d_type != recipe_.d_type || p.mr != recipe_.mr || p.nr != recipe_.nr) return false;
    if (dots != (p.path == CpuPath::kDots) || p.has_epilogue != (recipe_.epilogue_id != 0)) return false;
    if (p.sums_apart == recipe_.plain() || p.columns_per_d != recipe_.columns_per_d) return false;
    if (p.joins_b() != (recipe_.joins != 0) || p.keeps_b() != (recipe_.keeps != 0)) return false;
    if ((p.path == CpuPath::kSweep) != (recipe_.sweep != 0)) return false;
    if (recipe_.adjacent != 0 && !p.adjacent_a()) return false;
    if (recipe_.narrow != 0 && p.n >= p.nr) return false;
    // Sweeps take all rows at once.
    if (recipe_.sweep != 0 && p.m != recipe_.mr) return false;
    // In 32 bits where that is enough: it divides several times as fast.
    const auto rest = [](std::int64_t size, std::int32_t tile) -> std::int64_t {
      return size >> 32 == 0 ? static_cast<std::uint32_t>(size) % static_cast<std::uint32_t>(tile) : size % tile;
    };
    const std::int64_t rows = rest(p.m, p.mr), columns = rest(p.n, p.nr);
    if (!recipe_.FitsTail(columns) || (recipe_.tail_steps > 1 && p.a_col != 1)) return false;
    return (rows == 0 || rows == recipe_.m_tail) && columns <= recipe_.n_tail;
  }

  const std::string name_;
  const KernelResources resources_;
  const ExecutableMemory code_;
  MicroKernelSet entries_;
  const MicroKernelRecipe recipe_;
};

MicroKernelSet EntriesOf(const MicroKernelHeader& header, const std::byte* code) {
  const auto entry = [&](int i) {
    return header.entries[i] == 0
               ? nullptr
               : reinterpret_cast<MicroKernel>(reinterpret_cast<std::uintptr_t>(code + header.entries[i]));
  };
  return {entry(0), entry(1), entry(2), entry(3), entry(4), entry(5), entry(6)};
}

std::shared_ptr<const CpuKernel> LoadX86(const Artifact& artifact, std::string_view part) {
  MicroKernelHeader header;
  if (part.size() <= sizeof(header))
    throw Fail(Code::kDevice, "", "cpu: the code of {} has {} bytes", artifact.kernel_name, part.size());
  std::memcpy(&header, part.data(), sizeof(header));
  for (const std::uint32_t entry : header.entries)
    if (entry != 0 && (entry < sizeof(header) || entry >= part.size()))
      throw Fail(Code::kDevice, "", "cpu: {} has an entry at byte {} of {}", artifact.kernel_name, entry, part.size());
  ExecutableMemory code(part);
  const MicroKernelSet entries = EntriesOf(header, code.data());
  return std::make_shared<LoadedKernel>(artifact, std::move(code), entries, header.recipe);
}

}  // namespace

std::shared_ptr<const CpuKernel> LoadCpuKernel(const Artifact& artifact) {
  if (!CpuRuns(artifact.target))
    throw Fail(Code::kDevice, "", "cpu: {} is code for {}, which this CPU does not run", artifact.kernel_name,
               ToString(artifact.target));
  if (const auto part = artifact.parts.find("x86"); part != artifact.parts.end())
    return LoadX86(artifact, part->second);
  if (const auto part = artifact.parts.find("builtin"); part != artifact.parts.end()) {
    const MicroKernelRecipe recipe = ParseRecipe(part->second);
    return std::make_shared<LoadedKernel>(artifact, ExecutableMemory(), FindPortableKernels(recipe), recipe);
  }
  throw Fail(Code::kDevice, "", "cpu: the artifact of {} has neither part \"x86\" nor \"builtin\"",
             artifact.kernel_name);
}

}  // namespace gemmsmith
