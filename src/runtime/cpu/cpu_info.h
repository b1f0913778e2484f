#pragma once

#include <string>
#include <vector>

#include "gemmsmith/target.h"

namespace gemmsmith {

/// What this CPU and the system let programs use, of the features that matter here: "avx2", "fma", "avx512f", ...
std::vector<std::string> CpuFeatures();
/// Targets whose code this CPU runs, best first, within Environment::cpu_isa. Ends with "portable".
const std::vector<CodeTarget>& CpuTargets();
bool CpuRuns(const CodeTarget& target);
/// Threads that a kernel uses by default: Environment::num_threads, else the cores this process may use, by affinity
/// and cgroup quota.
int CpuThreads();
/// The CPU as the cost model sees it. Clock: measured. Caches: as the kernel of the system reports them. Bandwidth: a
/// guess.
const DeviceSpec& CpuSpec();
/// Of the first core now, as the system reports it; 0: it does not.
double CpuClockMhz();

}  // namespace gemmsmith
