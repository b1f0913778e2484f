#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// Accesses of warps to global or local memory.
struct GEMMSMITH_API MemoryTraffic {
  std::uint64_t requests = 0;        ///< Accesses of a warp: one instruction makes one.
  std::uint64_t sectors = 0;         ///< Aligned pieces of 32 bytes that they touch, each once per request. No cache.
  std::uint64_t bytes = 0;           ///< Asked for by all lanes.
  std::uint64_t distinct_bytes = 0;  ///< The same, but each byte once per request.

  double sectors_per_request() const { return requests == 0 ? 0 : static_cast<double>(sectors) / requests; }
  /// The part of the sectors' bytes that a lane asked for, 0 to 1.
  double coalescing() const { return sectors == 0 ? 0 : static_cast<double>(distinct_bytes) / (32.0 * sectors); }
  MemoryTraffic& operator+=(const MemoryTraffic& other);
  friend bool operator==(const MemoryTraffic&, const MemoryTraffic&) = default;
};

/// Accesses of warps to the shared memory of their own CTA, which has 32 banks of 4 bytes. How wavefronts are reckoned:
/// docs/emulator.md.
struct GEMMSMITH_API SharedTraffic {
  std::uint64_t requests = 0;
  std::uint64_t bytes = 0;       ///< Of all lanes.
  std::uint64_t wavefronts = 0;  ///< Turns that the banks need.
  std::uint64_t conflicts = 0;   ///< Those of them that accesses without conflicts of banks would not need.

  double conflicts_per_request() const { return requests == 0 ? 0 : static_cast<double>(conflicts) / requests; }
  SharedTraffic& operator+=(const SharedTraffic& other);
  friend bool operator==(const SharedTraffic&, const SharedTraffic&) = default;
};

/// Bulk copies (TMA): cp.async.bulk, cp.async.bulk.tensor and their reductions. Each lane that executes one counts.
struct GEMMSMITH_API BulkTraffic {
  std::uint64_t copies = 0;
  std::uint64_t global_bytes = 0;  ///< Read from or written to global memory; what lies outside of a tensor is not.
  std::uint64_t shared_bytes = 0;  ///< Written to or read from shared memory, of all CTAs that a multicast reaches.

  BulkTraffic& operator+=(const BulkTraffic& other);
  friend bool operator==(const BulkTraffic&, const BulkTraffic&) = default;
};

/// Instructions of one class, as the tables of docs/emulator.md name them: "integer", "memory", ...
struct ClassCount {
  std::string name;
  std::uint64_t instructions = 0;  ///< Of warps.
  friend bool operator==(const ClassCount&, const ClassCount&) = default;
};

/// Products of tensor cores of one kind: "mma.m16n8k16.f32.bf16.bf16.f32", "wgmma.m64n128k16.f32.bf16.bf16".
struct ProductCount {
  std::string name;
  std::uint64_t products = 0;  ///< Those of a wgmma are one for the four warps of a warpgroup.
  std::uint64_t multiply_adds = 0;
  friend bool operator==(const ProductCount&, const ProductCount&) = default;
};

/// What the launches of one kernel did. The same for a seed, whatever the number of threads.
struct GEMMSMITH_API KernelStatistics {
  std::string kernel;
  std::uint64_t launches = 0;
  std::uint64_t rounds = 0;  ///< Turns in which all resident clusters ran.

  std::uint64_t instructions = 0;            ///< Of warps; those whose guard was false for all lanes too.
  std::uint64_t lane_instructions = 0;       ///< Summed over the lanes that executed them.
  std::uint64_t divergent_instructions = 0;  ///< While other lanes of the warp were elsewhere.
  std::uint64_t branches = 0;                ///< Instructions `bra`.
  std::uint64_t divergent_branches = 0;      ///< That some lanes took and others did not.
  std::vector<ClassCount> classes;           ///< In the order of the tables; those that occur.
  std::vector<ProductCount> products;        ///< By name.

  MemoryTraffic global_loads, global_stores, global_atomics;
  MemoryTraffic copy_loads;  ///< What cp.async reads.
  MemoryTraffic local_loads, local_stores;

  SharedTraffic shared_loads, shared_stores, shared_atomics;
  SharedTraffic matrix_loads, matrix_stores;  ///< ldmatrix, stmatrix.
  SharedTraffic copy_stores;                  ///< What cp.async writes.
  std::uint64_t remote_requests = 0;          ///< To the shared memory of other CTAs of the cluster.
  std::uint64_t remote_bytes = 0;

  BulkTraffic bulk_loads, bulk_stores, bulk_reductions;  ///< Global to shared memory; back; back as a reduction.
  BulkTraffic bulk_exchanges;                            ///< From shared to shared memory.
  std::uint64_t multicasts = 0;                          ///< Bulk loads to more than one CTA.

  // Waits of warps that have ended.
  std::uint64_t cta_barrier_waits = 0, cluster_barrier_waits = 0, mbarrier_waits = 0;

  /// Adds all but the name.
  KernelStatistics& operator+=(const KernelStatistics& other);
  friend bool operator==(const KernelStatistics&, const KernelStatistics&) = default;
};

/// What emulated devices (docs/emulator.md) offer beyond the others: Device::emulation. Thread-safe; what is set
/// concerns launches that begin later.
class GEMMSMITH_API Emulation {
 public:
  virtual ~Emulation() = default;

  /// What the order of warps and of asynchronous work is drawn from. At first Environment::emulator_seed.
  virtual void SetSeed(std::uint64_t seed) = 0;
  virtual std::uint64_t seed() const = 0;

  /// Counting is off at first. Launches that are counted take longer.
  virtual void EnableStatistics(bool on) = 0;
  /// Of all launches that were counted and ended well: one for each kernel's name, in the order of their first launch.
  virtual std::vector<KernelStatistics> Statistics() const = 0;
  virtual void ClearStatistics() = 0;
};

}  // namespace gemmsmith
