#include "gemmsmith/profile.h"

#include "bindings.h"
#include "gemmsmith/manager.h"
#include "rows.h"

namespace gemmsmith::python {

void BindProfile(nb::module_& m) {
  m.def("profiling", [] { return GlobalJITManager::Instance().profiler().enabled(); });
  m.def("set_profiling", [](bool on) { GlobalJITManager::Instance().profiler().Enable(on); });
  m.def("clear_profile", [] { GlobalJITManager::Instance().profiler().Clear(); });
  m.def(
      "stage_times",
      [] {
        return Rows(GlobalJITManager::Instance().profiler().Times(), [](const StageTime& time) -> nb::dict {
          return Row()
              .Add("stage", time.stage)
              .Add("kernel", time.kernel)
              .Add("count", time.count)
              .Add("total_ms", time.total_ms)
              .Add("max_ms", time.max_ms);
        });
      },
      nb::sig("def stage_times() -> list[dict[str, typing.Any]]"));
  m.def("write_trace", [](const std::string& path) { GlobalJITManager::Instance().profiler().WriteTrace(path); });
}

}  // namespace gemmsmith::python
