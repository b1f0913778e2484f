#pragma once

#include <Python.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>

#include "errors.h"
#include "gemmsmith/engine.h"

namespace gemmsmith::python {

/// The engine of this process' settings (configure), made when first asked for.
std::shared_ptr<Engine> CurrentEngine();

/// "" is the best device. Throws as ParseDeviceId, and as UseCuda.
DeviceId NamedDevice(Engine& engine, const std::string& device);

/// Lets other Python threads run during its life.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      // The interpreter has ended, and ends this thread by unwinding it, which destructors do not survive.
      for (;;) pause();
    }
  }
  WithoutGil(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

/// work(cancel) on another thread, while this one looks for signals: at Ctrl-C the work is cancelled, and when it has
/// ended, KeyboardInterrupt is raised.
template <class Work>
auto Interruptibly(const Work& work) {
  using Result = std::invoke_result_t<Work, const CancellationToken&>;
  CancellationToken cancel;
  std::mutex mutex;
  std::condition_variable ended;
  bool done = false;
  std::exception_ptr failure;
  std::optional<Result> result;
  std::thread worker([&] {
    try {
      result.emplace(work(cancel));
    } catch (...) {
      failure = std::current_exception();
    }
    const std::scoped_lock lock(mutex);
    done = true;
    ended.notify_one();
  });
  constexpr std::chrono::milliseconds kLook{20};
  bool interrupted = false;
  PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
  for (bool over = false; !over;) {
    {
      const WithoutGil other;
      std::unique_lock lock(mutex);
      over = ended.wait_for(lock, kLook, [&] { return done; });
    }
    if (!interrupted && PyErr_CheckSignals() != 0) {
      PyErr_Fetch(&type, &value, &trace);
      interrupted = true;
      cancel.Cancel();
    }
  }
  worker.join();
  if (interrupted) {
    PyErr_Restore(type, value, trace);
    throw PythonRaised();
  }
  if (failure) std::rethrow_exception(failure);
  return std::move(*result);
}

}  // namespace gemmsmith::python
