#include <charconv>

#include "kernels/family.h"
#include "util/log.h"

namespace gemmsmith {

#define GEMMSMITH_FAMILY(function) const KernelFamily& function();
#include "kernels/families.def"
#undef GEMMSMITH_FAMILY

std::span<const KernelFamily* const> AllFamilies() {
  static const KernelFamily* const families[] = {
#define GEMMSMITH_FAMILY(function) &function(),
#include "kernels/families.def"
#undef GEMMSMITH_FAMILY
  };
  return families;
}

const KernelFamily& FindFamily(std::string_view name) {
  std::string names;
  for (const KernelFamily* family : AllFamilies()) {
    if (family->name() == name) return *family;
    names += (names.empty() ? "" : ", ") + std::string(family->name());
  }
  throw Fail(Code::kNotFound, "", "unknown kernel family \"{}\": there are {}", name, names);
}

std::string ProblemClass(const GemmProblem& p) {
  std::string text(ToString(p.a_type));
  if (p.b_type != p.a_type || p.d_type != p.a_type)
    text += fmt::format(",{},{}", ToString(p.b_type), ToString(p.d_type));
  text += fmt::format(" {}", LayoutName(p));
  if (p.compute == ComputeMode::kTf32) text += " tf32";
  if (p.scaling != Scaling::kNone) text += fmt::format(" scaling={}", ToString(p.scaling));
  if (p.grouping != Grouping::kNone) text += fmt::format(" grouping={}", ToString(p.grouping));
  if (p.beta != BetaClass::kZero) text += " beta";
  if (p.epilogue_id != 0) text += fmt::format(" epilogue={:016x}", p.epilogue_id);
  return text;
}

TileConfig ParseConfig(std::string_view text) {
  const std::size_t space = text.find(' ');
  const KernelFamily& family = FindFamily(text.substr(0, space));
  TileConfig config{family.name(), family.fields(), {}};
  std::string_view rest = space == std::string_view::npos ? "" : text.substr(space + 1);
  while (!rest.empty()) {
    const std::string_view field = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), field.size() + 1));
    const std::size_t equals = field.find('=');
    std::size_t i = 0;
    while (i < config.fields.size() && config.fields[i].name != field.substr(0, equals)) ++i;
    const char* end = field.data() + field.size();
    if (equals == std::string_view::npos || i == config.fields.size() ||
        std::from_chars(field.data() + equals + 1, end, config.values[i]).ptr != end)
      throw Fail(Code::kInvalidArgument, "", "config \"{}\": \"{}\" is not name=number of a field of {}", text, field,
                 family.name());
  }
  return config;
}

void EncodeMaps(LaunchStep& step, const Device& device) {
  void* const somewhere = reinterpret_cast<void*>(4096);  // each call brings its own address
  for (const LaunchStep::Map& map : step.maps)
    *reinterpret_cast<EncodedTensorMap*>(step.params.data() + map.offset) =
        device.EncodeTensorMap(map.shape, somewhere);
}

}  // namespace gemmsmith
