#include <algorithm>

#include "gemmsmith/emulation.h"

namespace gemmsmith {
namespace {

/// What has a like in `into` is added to it, the rest goes behind.
template <class T, class Add>
void AddByName(std::vector<T>& into, const std::vector<T>& from, Add add) {
  for (const T& one : from) {
    const auto like = std::find_if(into.begin(), into.end(), [&](const T& t) { return t.name == one.name; });
    if (like == into.end())
      into.push_back(one);
    else
      add(*like, one);
  }
}

}  // namespace

MemoryTraffic& MemoryTraffic::operator+=(const MemoryTraffic& other) {
  requests += other.requests;
  sectors += other.sectors;
  bytes += other.bytes;
  distinct_bytes += other.distinct_bytes;
  return *this;
}

SharedTraffic& SharedTraffic::operator+=(const SharedTraffic& other) {
  requests += other.requests;
  bytes += other.bytes;
  wavefronts += other.wavefronts;
  conflicts += other.conflicts;
  return *this;
}

BulkTraffic& BulkTraffic::operator+=(const BulkTraffic& other) {
  copies += other.copies;
  global_bytes += other.global_bytes;
  shared_bytes += other.shared_bytes;
  return *this;
}

KernelStatistics& KernelStatistics::operator+=(const KernelStatistics& other) {
  for (const auto member :
       {&KernelStatistics::launches, &KernelStatistics::rounds, &KernelStatistics::instructions,
        &KernelStatistics::lane_instructions, &KernelStatistics::divergent_instructions, &KernelStatistics::branches,
        &KernelStatistics::divergent_branches, &KernelStatistics::remote_requests, &KernelStatistics::remote_bytes,
        &KernelStatistics::multicasts, &KernelStatistics::cta_barrier_waits, &KernelStatistics::cluster_barrier_waits,
        &KernelStatistics::mbarrier_waits})
    this->*member += other.*member;
  for (const auto member :
       {&KernelStatistics::global_loads, &KernelStatistics::global_stores, &KernelStatistics::global_atomics,
        &KernelStatistics::copy_loads, &KernelStatistics::local_loads, &KernelStatistics::local_stores})
    this->*member += other.*member;
  for (const auto member :
       {&KernelStatistics::shared_loads, &KernelStatistics::shared_stores, &KernelStatistics::shared_atomics,
        &KernelStatistics::matrix_loads, &KernelStatistics::matrix_stores, &KernelStatistics::copy_stores})
    this->*member += other.*member;
  for (const auto member : {&KernelStatistics::bulk_loads, &KernelStatistics::bulk_stores,
                            &KernelStatistics::bulk_reductions, &KernelStatistics::bulk_exchanges})
    this->*member += other.*member;
  AddByName(classes, other.classes,
            [](ClassCount& to, const ClassCount& from) { to.instructions += from.instructions; });
  AddByName(products, other.products, [](ProductCount& to, const ProductCount& from) {
    to.products += from.products;
    to.multiply_adds += from.multiply_adds;
  });
  return *this;
}

}  // namespace gemmsmith
