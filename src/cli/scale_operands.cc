#include "cli/scale_operands.h"

#include <cstddef>
#include <span>

#include "gemmsmith/verify.h"

namespace gemmsmith::cli {
namespace {

std::int64_t Blocks(std::int64_t extent) { return (extent + 127) / 128; }

}  // namespace

ScaleOperands::ScaleOperands(Engine& engine, DeviceId device, const GemmProblem& p, std::uint64_t seed) {
  const auto make = [&](DeviceMemory& memory, Tensor ScaleArgs::*member, std::int64_t rows, bool for_groups) {
    const std::int64_t columns = Blocks(p.k);
    const auto tensor = [&](void* data, DeviceId id) {
      return for_groups ? Tensor(data, DType::kF32, {p.groups, rows, columns}, id)
                        : Tensor(data, DType::kF32, {rows, columns}, id);
    };
    const auto bytes = static_cast<std::size_t>(tensor(nullptr, {}).size()) * sizeof(float);
    memory = DeviceMemory(engine, device, bytes);
    device_args_.*member = tensor(memory.device(), device);
    const Tensor host = host_args_.*member = tensor(memory.host(), {});
    FillRandom(host, ++seed);
    for (float& x : std::span(static_cast<float*>(host.data), static_cast<std::size_t>(host.size()))) x = 1 + 0.5f * x;
    memory.ToDevice(bytes);
  };
  make(a_, &ScaleArgs::a, p.m, p.grouping == Grouping::kMasked);
  make(b_, &ScaleArgs::b, p.scaling == Scaling::kBlock1x128 ? p.n : Blocks(p.n), p.grouping != Grouping::kNone);
}

}  // namespace gemmsmith::cli
