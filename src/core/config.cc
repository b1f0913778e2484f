#include "gemmsmith/config.h"

#include "util/log.h"

namespace gemmsmith {

std::int32_t TileConfig::Get(std::string_view name) const {
  for (std::size_t i = 0; i < fields.size(); ++i)
    if (fields[i].name == name) return values[i];
  throw Fail(Code::kInvalidArgument, "", "config: family {} has no field \"{}\"", family, name);
}

std::string ToString(const TileConfig& config, bool baked_only) {
  std::string text(config.family);
  for (std::size_t i = 0; i < config.fields.size(); ++i)
    if (config.fields[i].baked || !baked_only) text += fmt::format(" {}={}", config.fields[i].name, config.values[i]);
  return text;
}

}  // namespace gemmsmith
