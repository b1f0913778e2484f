#include "util/thread_pool.h"

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <system_error>

#include "util/log.h"

namespace gemmsmith {
namespace {

// For the next task. Some ten microseconds: longer than what is between calls that follow each other, shorter than
// anything a person would call load.
constexpr int kSpins = 400;
// About as long as waking takes: for threads that run, and by one that was woken too late, for the next task. It would
// be late for each of many short ones otherwise.
constexpr int kLongSpins = 4000;

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
bool SpinForChange(const std::atomic<std::uint32_t>& word, std::uint32_t old, int spins = kSpins) {
  for (int spin = 0; spin < spins; ++spin) {
    if (word.load(std::memory_order_acquire) != old) return true;
    Pause();
  }
  return false;
}

/// Waits until `word` is no longer `old`, which a thread that runs sees to.
void WaitForChange(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
  if (!SpinForChange(word, old, kLongSpins)) word.wait(old, std::memory_order_acquire);
}

/// The calling thread's; -1: not known.
int Core() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

/// Keeps a thread off the caller's core, where it is allowed another. Who wakes a thread meanwhile need not share with
/// it, and one that waits for this core moves: schedulers queue threads behind the one that wakes them even where cores
/// are idle, those of virtual machines above all. The thread's affinity is as before then, but for a change that
/// somebody else makes just now.
class KeptElsewhere {
 public:
  using Thread = std::thread::native_handle_type;
#if defined(__linux__)
  explicit KeptElsewhere(Thread thread, bool needed = true) : thread_(thread) {
    if (!needed || pthread_getaffinity_np(thread, sizeof allowed_, &allowed_) != 0) return;
    cpu_set_t elsewhere = allowed_;
    CPU_CLR(static_cast<std::size_t>(sched_getcpu()), &elsewhere);
    narrowed_ = CPU_COUNT(&elsewhere) > 0 && pthread_setaffinity_np(thread_, sizeof elsewhere, &elsewhere) == 0;
  }
  ~KeptElsewhere() {
    if (narrowed_) pthread_setaffinity_np(thread_, sizeof allowed_, &allowed_);
  }
  KeptElsewhere(const KeptElsewhere&) = delete;
  KeptElsewhere& operator=(const KeptElsewhere&) = delete;

 private:
  Thread thread_;
  bool narrowed_ = false;
  cpu_set_t allowed_;
#else
  explicit KeptElsewhere(Thread, bool = true) {}
#endif
};

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
  const int awake = asleep == Asleep::kPass ? pool.CountAwake(workers) : workers;
  passes_ = awake < workers && !pool.FollowsClosely();
  threads_ = 1 + (passes_ ? awake : workers);
}

/// Returns how many of `count` workers there are.
int ThreadPool::StartWorkers(int count) {
  while (static_cast<int>(workers_.size()) < count) {
    const int index = static_cast<int>(workers_.size());
    workers_.emplace_back();
    try {
      std::thread thread([this, index, worker = &workers_.back()] { WorkerLoop(index, *worker); });
      workers_.back().thread = thread.native_handle();
      thread.detach();
    } catch (const std::system_error& error) {
      workers_.pop_back();
      LogInfo("threads: no more than {}: {}", index + 1, error.what());
      return index;
    }
  }
  return count;
}

/// How many of the first `count` workers are awake, one after the other.
int ThreadPool::CountAwake(int count) const {
  int awake = 0;
  while (awake < count && !workers_[awake].asleep.load(std::memory_order_relaxed)) ++awake;
  return awake;
}

/// Whether the calling task, and those close before it, have passed by a worker asleep for so long that it had better
/// been woken.
bool ThreadPool::FollowsClosely() {
  constexpr std::chrono::microseconds kClose{20};  // A worker spins as long between tasks.
  constexpr std::chrono::microseconds kWaking{60};
  const auto now = std::chrono::steady_clock::now();
  if (now - last_pass_ > kClose) first_pass_ = now;
  if (now - first_pass_ < kWaking) return false;
  first_pass_ = last_pass_ = now;
  return true;
}

void ThreadPool::Dispatch(int threads, Function function, void* context, bool independent) {
  running_.store(static_cast<std::uint32_t>(threads - 1), std::memory_order_relaxed);
  const int core = Core();
  for (int i = 0; i < threads - 1; ++i) {
    Worker& worker = workers_[i];
    worker.function = function;
    worker.context = context;
    worker.ticket.fetch_add(1, std::memory_order_release);
    // One that is awake on this core waits for it: whoever waits for the other is woken there, and may stay. So may one
    // that has just been started.
    const int last = worker.core.load(std::memory_order_relaxed);
    const bool shares = core >= 0 && (last == core || last < 0);
    const KeptElsewhere placed(worker.thread, shares || worker.asleep.load(std::memory_order_relaxed));
    worker.ticket.notify_one();
  }
  function(context, 0);
  for (int i = 0; independent && i < threads - 1; ++i) {
    if (!Begin(workers_[i].begun, workers_[i].ticket.load(std::memory_order_relaxed) - 1)) continue;
    function(context, i + 1);
    running_.fetch_sub(1, std::memory_order_relaxed);
    const KeptElsewhere moved(workers_[i].thread);
  }
  while (const std::uint32_t left = running_.load(std::memory_order_acquire)) WaitForChange(running_, left);
}

void ThreadPool::WorkerLoop(int index, Worker& worker) {
  int spins = kSpins;
  for (std::uint32_t seen = 0;; ++seen) {
    if (!SpinForChange(worker.ticket, seen, spins)) {
      worker.asleep.store(true, std::memory_order_relaxed);
      worker.ticket.wait(seen, std::memory_order_acquire);
      worker.asleep.store(false, std::memory_order_relaxed);
    }
    const bool late = !Begin(worker.begun, seen);
    spins = late ? kLongSpins : kSpins;
    if (late) continue;
    worker.function(worker.context, index + 1);
    worker.core.store(Core(), std::memory_order_relaxed);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace gemmsmith
