#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "bindings.h"
#include "engine_access.h"
#include "errors.h"
#include "gemmsmith/first_call.h"
#include "gemmsmith/version.h"

namespace gemmsmith::cli {
int Main(int argc, char** argv);
}

namespace gemmsmith::python {
namespace {

/// The command line, in this process. Ctrl-C ends it at once, and so does a reader of its output that goes, as they
/// would a program of its own.
int RunCommandLine(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const WithoutGil others;
  struct sigaction standard {
  }, interrupt{}, pipe{};
  standard.sa_handler = SIG_DFL;
  sigaction(SIGINT, &standard, &interrupt);
  sigaction(SIGPIPE, &standard, &pipe);
  const int code = cli::Main(static_cast<int>(arguments.size()), argv.data());
  sigaction(SIGPIPE, &pipe, nullptr);
  sigaction(SIGINT, &interrupt, nullptr);
  return code;
}

/// Compiles for the first call on a GPU while the main thread, which alone hears of Ctrl-C, looks for it. The CPU's
/// kernels take microseconds.
void MakePlanInterruptibly(DeviceId device, const std::function<void(const CancellationToken&)>& make_plan) {
  const bool hears = gettid() == getpid() && PyGILState_GetThisThreadState() != nullptr;
  if (!hears || device.kind == DeviceKind::kCpu) return make_plan({});
  const nb::gil_scoped_acquire held;
  Interruptibly([&](const CancellationToken& cancel) {
    make_plan(cancel);
    return true;
  });
}

}  // namespace

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);  // objects in globals outlive the module at the interpreter's end, which is no leak
  nb::register_exception_translator([](const std::exception_ptr& failure, void*) { SetPythonError(failure); });
  SetFirstCallHandler(&MakePlanInterruptibly);
  m.attr("version") = GEMMSMITH_VERSION;
  BindEpilogue(m);
  BindPacked(m);
  BindGemm(m);
  BindGrouped(m);
  BindLayouts(m);
  BindProblem(m);
  BindAhead(m);
  BindCache(m);
  BindEvaluate(m);
  BindKernel(m);
  BindProfile(m);
  BindResults(m);
  BindSettings(m);
  m.def("run_command_line", &RunCommandLine, nb::arg("arguments"),
        "The command line with these arguments, the program's name first; its exit code.");
}

}  // namespace gemmsmith::python
