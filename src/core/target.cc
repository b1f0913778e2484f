#include "gemmsmith/target.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "gemmsmith/tensor.h"
#include "util/embedded.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr CodeTarget kTargets[] = {
    {Isa::kPortable, 0, 0}, {Isa::kX86, 2, 0},      {Isa::kX86, 512, 0},    {Isa::kX86, 513, 0},
    {Isa::kX86, 514, 0},    {Isa::kCuda, 75, 0},    {Isa::kCuda, 80, 0},    {Isa::kCuda, 86, 0},
    {Isa::kCuda, 87, 0},    {Isa::kCuda, 88, 0},    {Isa::kCuda, 89, 0},    {Isa::kCuda, 90, 0},
    {Isa::kCuda, 90, 'a'},  {Isa::kCuda, 100, 0},   {Isa::kCuda, 100, 'a'}, {Isa::kCuda, 100, 'f'},
    {Isa::kCuda, 103, 0},   {Isa::kCuda, 103, 'a'}, {Isa::kCuda, 110, 0},   {Isa::kCuda, 110, 'a'},
    {Isa::kCuda, 120, 0},   {Isa::kCuda, 120, 'a'}, {Isa::kCuda, 120, 'f'}, {Isa::kCuda, 121, 0},
    {Isa::kCuda, 121, 'a'},
};

/// Names and numbers of devices.json are the fields of DeviceSpec.
DeviceSpec ParseSpec(const nlohmann::json& row) {
  DeviceSpec spec;
  spec.name = row.at("name");
  spec.target = ParseTarget(row.at("target").get<std::string>());
  spec.multiprocessors = row.at("multiprocessors");
  spec.clock_ghz = row.at("clock_ghz");
  spec.f32_flops_per_clock = row.at("f32_flops_per_clock");
  spec.f64_flops_per_clock = row.at("f64_flops_per_clock");
  spec.tensor_flops_per_clock = row.at("tensor_flops_per_clock");
  spec.memory_gbps = row.at("memory_gbps");
  spec.memory_gib = row.at("memory_gib");
  spec.l1_bytes = row.at("l1_kib").get<std::int64_t>() << 10;
  spec.l2_bytes = row.at("l2_kib").get<std::int64_t>() << 10;
  spec.shared_bytes = row.at("shared_bytes");
  spec.shared_bytes_per_sm = row.at("shared_kib_per_sm").get<std::int64_t>() << 10;
  spec.shared_bytes_per_clock = row.at("shared_bytes_per_clock");
  spec.warps_per_sm = row.at("warps_per_sm");
  spec.registers_per_sm = row.at("registers_per_sm");
  spec.launch_us = row.at("launch_us");
  spec.bulk_copies = row.value("bulk_copies", false);
  return spec;
}

std::vector<DeviceSpec> ReadSpecs() {
  std::vector<DeviceSpec> specs;
  for (const EmbeddedFile& file : Embedded_core()) {
    if (file.name != "devices.json") continue;
    const nlohmann::json document = nlohmann::json::parse(file.text);
    for (const nlohmann::json& row : document.at("devices")) specs.push_back(ParseSpec(row));
  }
  return specs;
}

/// Once for each target.
void WarnOfNearest(const CodeTarget& target, const DeviceSpec& nearest) {
  static std::array<std::atomic_flag, std::size(kTargets)> warned;
  const auto place = std::find(std::begin(kTargets), std::end(kTargets), target) - std::begin(kTargets);
  if (static_cast<std::size_t>(place) < warned.size() && !warned[static_cast<std::size_t>(place)].test_and_set())
    Warn("no device of devices.json is of {}; reckoning with {} ({})", ToString(target), nearest.name,
         ToString(nearest.target));
}

template <class Range, class Name>
std::string Names(const Range& range, Name name) {
  std::string names;
  for (const auto& item : range) names += (names.empty() ? "" : ", ") + name(item);
  return names;
}

}  // namespace

std::string ToString(const CodeTarget& target) {
  switch (target.isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kX86:
      if (target.version == 514) return "x86-64-avx512-bf16";
      if (target.version == 513) return "x86-64-avx512-vnni";
      return target.version == 512 ? "x86-64-avx512" : "x86-64-avx2";
    case Isa::kCuda:
      break;
  }
  std::string name = fmt::format("sm_{}", target.version);
  if (target.suffix != 0) name += target.suffix;
  return name;
}

std::span<const CodeTarget> AllTargets() { return kTargets; }

CodeTarget ParseTarget(std::string_view name) {
  for (const CodeTarget& target : kTargets)
    if (ToString(target) == name) return target;
  throw Fail(Code::kInvalidArgument, "", "unknown architecture \"{}\": there are {}", name,
             Names(kTargets, [](const CodeTarget& t) { return ToString(t); }));
}

std::span<const DeviceSpec> AllDeviceSpecs() {
  static const std::vector<DeviceSpec>* const specs = new std::vector<DeviceSpec>(ReadSpecs());
  return *specs;
}

const DeviceSpec& FindDeviceSpec(std::string_view name) {
  for (const DeviceSpec& spec : AllDeviceSpecs())
    if (spec.name == name) return spec;
  throw Fail(Code::kNotFound, "", "unknown device \"{}\": there are {}", name,
             Names(AllDeviceSpecs(), [](const DeviceSpec& s) { return s.name; }));
}

const DeviceSpec& DefaultDeviceSpec(const CodeTarget& target) {
  // Rows are in order of preference: the first that runs the same generation of code.
  for (const DeviceSpec& spec : AllDeviceSpecs())
    if (spec.target.isa == target.isa && spec.target.version == target.version) return spec;
  // None: the newest one before it. What a newer generation can do must not be reckoned with.
  const DeviceSpec* nearest = nullptr;
  for (const DeviceSpec& spec : AllDeviceSpecs())
    if (spec.target.isa == target.isa && spec.target.version < target.version &&
        (nearest == nullptr || spec.target.version > nearest->target.version))
      nearest = &spec;
  if (nearest == nullptr)
    throw Fail(Code::kNotFound, "name a device that does", "no device of devices.json runs {}", ToString(target));
  WarnOfNearest(target, *nearest);
  return *nearest;
}

std::string ToString(DeviceId id) {
  switch (id.kind) {
    case DeviceKind::kCpu:
      return "cpu";
    case DeviceKind::kCuda:
      return fmt::format("cuda:{}", id.index);
    case DeviceKind::kEmulator:
      break;
  }
  return "emulator:" + (id.index < std::size(kTargets) ? ToString(kTargets[id.index]) : std::to_string(id.index));
}

DeviceId ParseDeviceId(std::string_view text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {DeviceKind::kCuda, 0};
  if (text.starts_with("cuda:")) {
    const std::string digits(text.substr(5));
    if (!digits.empty() && digits.size() <= 3 && std::all_of(digits.begin(), digits.end(), ::isdigit) &&
        std::stoi(digits) < 256)
      return {DeviceKind::kCuda, static_cast<std::uint8_t>(std::stoi(digits))};
  }
  if (text.starts_with("emulator:")) {
    const CodeTarget target = ParseTarget(text.substr(9));
    if (target.isa == Isa::kCuda)
      return {DeviceKind::kEmulator,
              static_cast<std::uint8_t>(std::find(std::begin(kTargets), std::end(kTargets), target) - kTargets)};
  }
  throw Fail(Code::kInvalidArgument, "", "unknown device \"{}\": there are cpu, cuda, cuda:N, emulator:sm_NN", text);
}

}  // namespace gemmsmith
