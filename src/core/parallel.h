#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace gemmsmith {

/// Calls `work(i)` for each i below `count`, on `threads`, or as many as there are cores. After a failure no more
/// are begun, and it is thrown. For test data, references and files; kernels have the CPU device's threads.
template <class Work>
void ParallelFor(std::int64_t count, const Work& work,
                 std::int64_t threads = std::max(1u, std::thread::hardware_concurrency())) {
  std::atomic<std::int64_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto loop = [&] {
    try {
      for (std::int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) work(i);
    } catch (...) {
      next = count;
      std::scoped_lock lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::int64_t i = 1; i < std::min(count, threads); ++i) others.emplace_back(loop);
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace gemmsmith
