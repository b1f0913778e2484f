#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "gemmsmith/manager.h"

namespace gemmsmith::cli {
namespace {

Table SpecTable(const char* first) {
  return Table({{first, -24},
                {"arch", -13},
                {"SMs/cores", 9},
                {"GHz", 5},
                {"f32 GFLOP/s", 11},
                {"f64 GFLOP/s", 11},
                {"16-bit TFLOP/s", 14},
                {"GB/s", 6},
                {"GiB", 5}});
}

void Print(Table& table, const std::string& name, const DeviceSpec& s) {
  table.Row(
      {name, ToString(s.target), std::to_string(s.multiprocessors), Number(s.clock_ghz),
       Number(s.PeakGflops(DType::kF32)), Number(s.PeakGflops(DType::kF64)),
       s.tensor_flops_per_clock > 0 ? Number(s.multiprocessors * s.clock_ghz * s.tensor_flops_per_clock / 1e3) : "-",
       Number(s.memory_gbps), Number(s.memory_gib)});
}

Outcome Run(Session& session) {
  Devices& devices = GlobalJITManager::Instance().devices();
  Outcome outcome;
  Table present = SpecTable("present");
  for (Device* device : devices.List()) {
    Json json = ToJson(device->spec());
    json["id"] = ToString(device->id());
    outcome.document["devices"].push_back(std::move(json));
    if (session.text()) Print(present, ToString(device->id()) + " " + device->spec().name, device->spec());
  }
  const std::string status = devices.CudaStatus();
  outcome.document["cuda_status"] = status;
  if (session.text()) fmt::print("{}\n", status.empty() ? "" : "no GPU: " + status + "\n");
  std::string emulators;
  for (const CodeTarget& target : AllTargets()) {
    if (target.isa != Isa::kCuda) continue;
    outcome.document["emulators"].push_back("emulator:" + ToString(target));
    emulators += (emulators.empty() ? "" : ", ") + ToString(target);
  }
  if (session.text()) fmt::print("emulated on the CPU, where NVRTC or nvcc is: emulator:<arch> of {}\n\n", emulators);
  Table known = SpecTable("known, for --gpu");
  for (const DeviceSpec& spec : AllDeviceSpecs()) {
    outcome.document["specs"].push_back(ToJson(spec));
    if (session.text()) Print(known, spec.name, spec);
  }
  return outcome;
}

}  // namespace

const Command kDevices = {"devices", "List the devices that are here, and those that kernels can be compiled for",
                          "gemmsmith devices --json", AddOutput, Run};

}  // namespace gemmsmith::cli
