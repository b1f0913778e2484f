#include <cmath>
#include <nlohmann/json.hpp>

#include "gemmsmith/evaluate.h"
#include "select/json_object.h"
#include "select/matrix_unit.h"
#include "util/digest.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using Arch = AcceleratorMicroArch;

struct CountField {
  const char* name;
  std::int64_t Arch::*member;
  std::int64_t most;
};
constexpr CountField kCounts[] = {
    {"num_cores", &Arch::num_cores, 1 << 16}, {"sram_kb", &Arch::sram_kb, 1 << 30}, {"cube_m", &Arch::cube_m, 4096},
    {"cube_n", &Arch::cube_n, 4096},          {"cube_k", &Arch::cube_k, 4096},
};

/// `scale` is the default as a multiple of tflops_int8; 0: none is needed.
struct OptionalField {
  const char* name;
  std::optional<double> Arch::*member;
  double scale;
};
constexpr OptionalField kOptional[] = {
    // Half the int8 rate for 16 bits, the same for fp8: as every tensor core of NVIDIA since Ampere (fp8: Hopper).
    {"tflops_bf16", &Arch::tflops_bf16, 0.5},
    {"tflops_fp8", &Arch::tflops_fp8, 1},
    // GB/s per TOPS: H100 1.7, H200 2.4, A100 3.3.
    {"dram_gbps", &Arch::dram_gbps, 2},
    // H100: one f32 addition for 59 int8 operations.
    {"vector_gops", &Arch::vector_gops, 1000.0 / 64},
    {"noc_gbps", &Arch::noc_gbps, 0},
    {"launch_us", &Arch::launch_us, 0},
};
constexpr double kMostRate = 1e9;  // of any field: what is beyond is a mistake of units

void CheckNames(const JsonObject& object) {
  for (const auto& member : object.members().items()) {
    const std::string& name = member.key();
    std::string known = "chip_type, tflops_int8";
    bool found = name == "chip_type" || name == "tflops_int8";
    const auto visit = [&](const char* field) {
      found = found || name == field;
      known += std::string(", ") + field;
    };
    for (const CountField& field : kCounts) visit(field.name);
    for (const OptionalField& field : kOptional) visit(field.name);
    if (!found)
      throw Fail(Code::kInvalidArgument, "", "{}: unknown name {}: there are {}", object.origin(),
                 nlohmann::json(name).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), known);
  }
}

void CheckRate(const char* name, double value, bool may_be_zero) {
  if (!(value > 0 || (may_be_zero && value == 0)) || value > kMostRate)
    throw Fail(Code::kInvalidArgument, "", "chip: {}={} is not {} 0 and at most {:g}", name, value,
               may_be_zero ? "at least" : "above", kMostRate);
}

}  // namespace

AcceleratorMicroArch ReadMicroArch(const std::string& path) { return ParseMicroArch(ReadSmallFile(path), path); }

AcceleratorMicroArch ParseMicroArch(std::string_view text, const std::string& origin) {
  const JsonObject object(text, origin);
  CheckNames(object);
  Arch arch;
  arch.chip_type = object.Text("chip_type");
  for (const CountField& field : kCounts) {
    // Through Number first: of -1 the sign is what is wrong, and Validate says the limits.
    const double number = object.Number(field.name);
    arch.*field.member =
        number < 0 && number > -kMostRate ? std::llround(std::floor(number)) : object.Count(field.name);
  }
  arch.tflops_int8 = object.Number("tflops_int8");
  for (const OptionalField& field : kOptional)
    if (object.Has(field.name)) arch.*field.member = object.Number(field.name);
  try {
    Validate(arch);
  } catch (const Error& error) {
    throw Error(error.code(), origin + ": " + error.message(), error.remedy());
  }
  return arch;
}

void Validate(const AcceleratorMicroArch& arch) {
  constexpr std::size_t kLongestName = 200;
  if (arch.chip_type.empty() || arch.chip_type.size() > kLongestName)
    throw Fail(Code::kInvalidArgument, "", "chip: chip_type has {} bytes; 1 to {} are possible", arch.chip_type.size(),
               kLongestName);
  for (const CountField& field : kCounts)
    if (arch.*field.member < 1 || arch.*field.member > field.most)
      throw Fail(Code::kInvalidArgument, "", "chip: {}={} is not a whole number from 1 to {}", field.name,
                 arch.*field.member, field.most);
  CheckRate("tflops_int8", arch.tflops_int8, false);
  for (const OptionalField& field : kOptional)
    if ((arch.*field.member).has_value()) CheckRate(field.name, *(arch.*field.member), field.scale == 0);
  const std::int64_t least = TileBytes({arch.cube_m, arch.cube_n, arch.cube_k}, 1);
  if (arch.sram_kb * 1024 < least)
    throw Fail(Code::kInvalidArgument, "", "chip: sram_kb={} is {} bytes, and one tile of {}x{}x{} takes {}",
               arch.sram_kb, arch.sram_kb * 1024, arch.cube_m, arch.cube_n, arch.cube_k, least);
}

AcceleratorMicroArch WithDefaults(AcceleratorMicroArch arch) {
  for (const OptionalField& field : kOptional)
    if (!(arch.*field.member).has_value()) arch.*field.member = field.scale * arch.tflops_int8;
  return arch;
}

std::string Fingerprint(const AcceleratorMicroArch& arch) {
  const Arch full = WithDefaults(arch);
  nlohmann::json document = {{"chip_type", full.chip_type}, {"tflops_int8", full.tflops_int8}};
  for (const CountField& field : kCounts) document[field.name] = full.*field.member;
  for (const OptionalField& field : kOptional) document[field.name] = *(full.*field.member);
  return document.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

std::string ShortFingerprint(const AcceleratorMicroArch& arch) {
  return DigestOf(Fingerprint(arch)).Hex().substr(0, 16);
}

}  // namespace gemmsmith
