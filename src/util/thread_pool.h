#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

namespace gemmsmith {

/// All of `count` threads arrive before any goes on. Reusable.
class Barrier {
 public:
  void Wait(std::uint32_t count);

 private:
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  std::atomic<std::uint32_t> generation_{0};
};

/// The threads of this process, started when first needed. There is one pool and it is never destroyed: its threads
/// sleep through the end of the process, so that nothing has to be joined then.
class ThreadPool {
 public:
  static ThreadPool& Instance();

  /// Whether a task takes threads that sleep: waking one takes longer than a small task itself. kPass takes one that
  /// sleeps only where calls have followed each other closely for as long as waking takes: it will not sleep again.
  enum class Asleep { kWake, kPass };

  /// The right to run a task, and the number of threads it may take, the caller's included. That is one while another
  /// thread uses the pool (a busy machine gains nothing from more), and in a forked child, which has no workers.
  class Lease {
   public:
    ~Lease() {
      if (passes_) pool_.last_pass_ = std::chrono::steady_clock::now();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    int threads() const { return threads_; }
    /// Runs task(0) on the caller and task(1) ... task(threads - 1) on workers, at the same time; returns when all have
    /// returned. Where the parts are independent of each other, the caller runs those that no worker has begun by the
    /// time it is through with its own: a worker may be out of its core. REQUIRES: threads <= threads(); task does not
    /// throw.
    template <class Task>
    void Run(int threads, Task& task, bool independent = false) {
      if (threads == 1)
        task(0);
      else
        pool_.Dispatch(
            threads, [](void* context, int index) { (*static_cast<Task*>(context))(index); }, &task, independent);
    }

   private:
    friend class ThreadPool;
    Lease(ThreadPool& pool, int threads, Asleep asleep);
    ThreadPool& pool_;
    std::unique_lock<std::mutex> lock_;
    int threads_ = 1;
    bool passes_ = false;  // By a worker that sleeps.
  };
  Lease Acquire(int threads, Asleep asleep = Asleep::kWake) { return Lease(*this, threads, asleep); }

 private:
  using Function = void (*)(void* context, int index);
  struct Worker {
    alignas(64) std::atomic<std::uint32_t> ticket{0};  ///< Counts the tasks given to this worker.
    /// Counts those that were begun, by the worker or by the caller in its stead: whoever counts one runs it.
    std::atomic<std::uint32_t> begun{0};
    std::atomic<bool> asleep{false};
    std::atomic<int> core{-1};  ///< That it last worked on; -1: it has not yet, or the system does not say.
    std::thread::native_handle_type thread{};
    Function function = nullptr;
    void* context = nullptr;
  };
  ThreadPool();
  int StartWorkers(int count);
  int CountAwake(int count) const;
  bool FollowsClosely();
  void Dispatch(int threads, Function function, void* context, bool independent);
  void WorkerLoop(int index, Worker& worker);

  std::mutex in_use_;           // Held by the caller whose task runs.
  std::deque<Worker> workers_;  // Guarded by in_use_; a worker itself uses its own element only.
  // Guarded by in_use_: of tasks that passed by a worker asleep, the begin of the first that others follow closely, and
  // the end of the last.
  std::chrono::steady_clock::time_point first_pass_, last_pass_;
  alignas(64) std::atomic<std::uint32_t> running_{0};
};

}  // namespace gemmsmith
