#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>

namespace gemmsmith {

/// All of `count` threads arrive before any goes on. Reusable.
class Barrier {
 public:
  void Wait(std::uint32_t count);

 private:
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  std::atomic<std::uint32_t> generation_{0};
};

/// The threads of this process for CPU kernels, started when first needed. There is one pool and it is never destroyed:
/// its threads sleep through the end of the process, so that nothing has to be joined then.
class ThreadPool {
 public:
  static ThreadPool& Instance();

  /// The right to run a task, and the number of threads it may take, the caller's included. That is one while another
  /// thread uses the pool (a busy machine gains nothing from more), and in a forked child, which has no workers.
  class Lease {
   public:
    int threads() const { return threads_; }
    /// Runs task(0) on the caller and task(1) ... task(threads - 1) on workers, at the same time; returns when all have
    /// returned. REQUIRES: threads <= threads(); task does not throw.
    template <class Task>
    void Run(int threads, Task& task) {
      if (threads == 1)
        task(0);
      else
        pool_.Dispatch(
            threads, [](void* context, int index) { (*static_cast<Task*>(context))(index); }, &task);
    }

   private:
    friend class ThreadPool;
    Lease(ThreadPool& pool, int threads);
    ThreadPool& pool_;
    std::unique_lock<std::mutex> lock_;
    int threads_ = 1;
  };
  Lease Acquire(int threads) { return Lease(*this, threads); }

 private:
  using Function = void (*)(void* context, int index);
  struct Worker {
    alignas(64) std::atomic<std::uint32_t> ticket{0};  ///< Counts the tasks given to this worker.
    Function function = nullptr;
    void* context = nullptr;
  };
  ThreadPool();
  int StartWorkers(int count);
  void Dispatch(int threads, Function function, void* context);
  void WorkerLoop(int index, Worker& worker);

  std::mutex in_use_;           // Held by the caller whose task runs.
  std::deque<Worker> workers_;  // Guarded by in_use_; a worker itself uses its own element only.
  alignas(64) std::atomic<std::uint32_t> running_{0};
};

}  // namespace gemmsmith
