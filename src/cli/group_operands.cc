#include "cli/group_operands.h"

#include <cstddef>

#include "gemmsmith/verify.h"

namespace gemmsmith::cli {

GroupOperands::GroupOperands(Engine& engine, DeviceId device, const GemmProblem& p, std::uint64_t seed) {
  const bool by_row = p.grouping == Grouping::kContiguous;
  const std::int64_t count = by_row ? p.m : p.groups;
  const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(std::int32_t);
  memory_ = DeviceMemory(engine, device, bytes);
  Tensor GroupArgs::*const member = by_row                            ? &GroupArgs::index
                                    : p.grouping == Grouping::kMasked ? &GroupArgs::counts
                                                                      : &GroupArgs::ends;
  device_args_.*member = Tensor(memory_.device(), DType::kS32, {count}, device);
  host_args_.*member = Tensor(memory_.host(), DType::kS32, {count});
  device_args_.expected_m = host_args_.expected_m = p.expected_m;
  FillGroups(p, host_args_.*member, seed);
  memory_.ToDevice(bytes);
}

}  // namespace gemmsmith::cli
