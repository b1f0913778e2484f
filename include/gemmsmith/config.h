#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// One field of a family's configuration. Baked fields shape the code and are part of the cache key; the others are
/// given at launch.
struct ConfigField {
  std::string_view name;
  bool baked;
  bool follows = false;  ///< From the problem's sizes and the other fields: no choice of its own.
};

/// The choice made for a problem: a kernel family and one number per field that the family declares.
/// Keys, JSON and database columns all follow from the family's table.
struct TileConfig {
  static constexpr std::size_t kMaxFields = 16;

  std::string_view family;  ///< Points to the family's name, which lives for ever.
  std::span<const ConfigField> fields;
  std::array<std::int32_t, kMaxFields> values{};

  std::int32_t operator[](std::size_t field) const { return values[field]; }
  std::int32_t& operator[](std::size_t field) { return values[field]; }
  /// The value of the field called `name`. Throws kInvalidArgument.
  GEMMSMITH_API std::int32_t Get(std::string_view name) const;

  friend bool operator==(const TileConfig& x, const TileConfig& y) {
    return x.family == y.family && x.values == y.values;
  }
};

/// "simt block_m=64 block_n=64 ...": all fields, or the baked ones only.
GEMMSMITH_API std::string ToString(const TileConfig& config, bool baked_only = false);

}  // namespace gemmsmith
