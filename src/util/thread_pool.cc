#include "util/thread_pool.h"

#include <pthread.h>

#include <system_error>
#include <thread>

#include "util/log.h"

namespace gemmsmith {
namespace {

// Some ten microseconds: longer than the gaps inside one GEMM, shorter than anything a person would call load.
constexpr int kSpins = 400;

std::atomic<bool> in_forked_child{false};

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Whether the task after the first `before` is this thread's to run.
bool Begin(std::atomic<std::uint32_t>& begun, std::uint32_t before) {
  return begun.load(std::memory_order_relaxed) == before &&
         begun.compare_exchange_strong(before, before + 1, std::memory_order_acq_rel);
}

/// Whether `word` is no longer `old`, soon.
bool SpinForChange(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (word.load(std::memory_order_acquire) != old) return true;
    Pause();
  }
  return false;
}

/// Waits until `word` is no longer `old`.
void WaitForChange(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
  if (!SpinForChange(word, old)) word.wait(old, std::memory_order_acquire);
}

}  // namespace

void Barrier::Wait(std::uint32_t count) {
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.store(generation + 1, std::memory_order_release);
    generation_.notify_all();
  } else {
    WaitForChange(generation_, generation);
  }
}

ThreadPool::ThreadPool() {
  pthread_atfork(nullptr, nullptr, [] { in_forked_child.store(true, std::memory_order_relaxed); });
}

ThreadPool& ThreadPool::Instance() {
  static ThreadPool* const pool = new ThreadPool;
  return *pool;
}

ThreadPool::Lease::Lease(ThreadPool& pool, int threads, Asleep asleep) : pool_(pool) {
  if (threads <= 1 || in_forked_child.load(std::memory_order_relaxed)) return;
  lock_ = std::unique_lock(pool.in_use_, std::try_to_lock);
  if (!lock_.owns_lock()) return;
  const int workers = pool.StartWorkers(threads - 1);
  threads_ = 1 + (asleep == Asleep::kPass ? pool.CountAwake(workers) : workers);
}

/// Returns how many of `count` workers there are.
int ThreadPool::StartWorkers(int count) {
  while (static_cast<int>(workers_.size()) < count) {
    const int index = static_cast<int>(workers_.size());
    workers_.emplace_back();
    try {
      std::thread([this, index, worker = &workers_.back()] { WorkerLoop(index, *worker); }).detach();
    } catch (const std::system_error& error) {
      workers_.pop_back();
      LogInfo("threads: no more than {}: {}", index + 1, error.what());
      return index;
    }
  }
  return count;
}

/// How many of the first `count` workers a small task takes.
int ThreadPool::CountAwake(int count) {
  int awake = 0;
  while (awake < count && !workers_[awake].asleep.load(std::memory_order_relaxed)) ++awake;
  if (awake == count) return count;
  // A worker that was woken stays awake as long as calls come within the time that it spins, after tasks that may take
  // as long again.
  constexpr std::chrono::microseconds kClose{20};
  constexpr int kPasses = 16;
  const auto now = std::chrono::steady_clock::now();
  passes_ = now - last_pass_ < kClose ? passes_ + 1 : 0;
  last_pass_ = now;
  if (passes_ < kPasses) return awake;
  passes_ = 0;
  return count;
}

void ThreadPool::Dispatch(int threads, Function function, void* context, bool independent) {
  running_.store(static_cast<std::uint32_t>(threads - 1), std::memory_order_relaxed);
  for (int i = 0; i < threads - 1; ++i) {
    Worker& worker = workers_[i];
    worker.function = function;
    worker.context = context;
    worker.ticket.fetch_add(1, std::memory_order_release);
    worker.ticket.notify_one();
  }
  function(context, 0);
  for (int i = 0; independent && i < threads - 1; ++i) {
    if (!Begin(workers_[i].begun, workers_[i].ticket.load(std::memory_order_relaxed) - 1)) continue;
    function(context, i + 1);
    running_.fetch_sub(1, std::memory_order_relaxed);
  }
  while (const std::uint32_t left = running_.load(std::memory_order_acquire)) WaitForChange(running_, left);
}

void ThreadPool::WorkerLoop(int index, Worker& worker) {
  for (std::uint32_t seen = 0;; ++seen) {
    if (!SpinForChange(worker.ticket, seen)) {
      worker.asleep.store(true, std::memory_order_relaxed);
      worker.ticket.wait(seen, std::memory_order_acquire);
      worker.asleep.store(false, std::memory_order_relaxed);
    }
    if (!Begin(worker.begun, seen)) continue;
    worker.function(worker.context, index + 1);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace gemmsmith
