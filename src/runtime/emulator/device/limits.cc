#include "runtime/emulator/device/limits.h"

namespace gemmsmith::emulator {
namespace {

/// By compute capability; CUDA C++ Programming Guide, technical specifications.
struct LimitsRow {
  int version;
  std::uint32_t shared_per_block_kib, shared_per_sm_kib, threads_per_sm, blocks_per_sm, cluster;
};
constexpr LimitsRow kRows[] = {
    {75, 64, 64, 1024, 16, 1},    {80, 163, 164, 2048, 32, 1},  {86, 99, 100, 1536, 16, 1},
    {87, 163, 164, 1536, 16, 1},  {88, 99, 100, 1536, 24, 1},   {89, 99, 100, 1536, 24, 1},
    {90, 227, 228, 2048, 32, 8},  {100, 227, 228, 2048, 32, 8}, {103, 227, 228, 2048, 32, 8},
    {110, 227, 228, 2048, 32, 8}, {120, 99, 100, 1536, 24, 8},  {121, 99, 100, 1536, 24, 8},
};

}  // namespace

ArchitectureLimits LimitsOf(const CodeTarget& target) {
  const LimitsRow* row = &kRows[0];
  for (const LimitsRow& candidate : kRows)
    if (candidate.version <= target.version) row = &candidate;
  ArchitectureLimits limits;
  limits.shared_per_block = row->shared_per_block_kib << 10;
  limits.shared_per_sm = row->shared_per_sm_kib << 10;
  limits.threads_per_sm = row->threads_per_sm;
  limits.blocks_per_sm = row->blocks_per_sm;
  limits.cluster = row->cluster;
  limits.multiprocessors = DefaultDeviceSpec(target).multiprocessors;
  return limits;
}

}  // namespace gemmsmith::emulator
