#include "jit/key.h"

#include <fmt/format.h>

#include <string.h>

#include <algorithm>
#include <charconv>
#include <concepts>
#include <iterator>
#include <vector>

#include "jit/cache/entry_format.h"

namespace gemmsmith {
namespace {

void Append(std::string& text, std::string_view field, std::string_view value) {
  fmt::format_to(std::back_inserter(text), "{}={}:{}\n", field, value.size(), value);
}
void Append(std::string& text, std::string_view field, std::integral auto value) {
  Append(text, field, std::string_view(std::to_string(value)));
}

/// Names and contents of all headers, in whatever order they came.
std::string ClosureDigest(const std::vector<SourceHeader>& headers) {
  std::vector<const SourceHeader*> sorted;
  for (const SourceHeader& header : headers) sorted.push_back(&header);
  std::ranges::stable_sort(sorted, {}, &SourceHeader::name);
  std::string closure;
  for (const SourceHeader* header : sorted) Append(closure, header->name, header->text);
  return DigestOf(closure).Hex();
}

std::string Recipe(const KernelSource& source) {
  std::string text;
  Append(text, "family", source.config.family.empty() ? "user" : source.config.family);
  Append(text, "headers", ClosureDigest(source.headers));
  Append(text, "source", DigestOf(source.text).Hex());
  Append(text, "entry", source.entry);
  Append(text, "target", ToString(source.target));
  for (std::size_t i = 0; i < source.config.fields.size(); ++i)
    if (const ConfigField& field = source.config.fields[i]; field.baked)
      Append(text, fmt::format("config.{}", field.name), source.config.values[i]);
  // A new option must be placed here before this compiles.
  const auto& [opt_level, fast_math, register_usage_level, warn_local_memory, line_info] = source.options;
  static_cast<void>(warn_local_memory);  // Changes the log alone.
  Append(text, "option.opt_level", opt_level);
  Append(text, "option.fast_math", fast_math);
  Append(text, "option.register_usage_level", register_usage_level);
  Append(text, "option.line_info", line_info);
  return text;
}

struct Line {
  std::string_view field, value;
};
/// Takes the first line off `text`; empty if there is none.
std::optional<Line> TakeLine(std::string_view& text) {
  const std::size_t equals = text.find('='), colon = text.find(':', equals);
  if (colon == text.npos) return std::nullopt;
  std::size_t size = 0;
  const char* const end = text.data() + colon;
  if (std::from_chars(text.data() + equals + 1, end, size).ptr != end) return std::nullopt;
  const std::string_view field = text.substr(0, equals), rest = text.substr(colon + 1);
  if (size >= rest.size() || rest[size] != '\n') return std::nullopt;
  text = rest.substr(size + 1);
  return Line{field, rest.substr(0, size)};
}

/// From the first digit of the toolchain on.
std::string Version(const CacheKey& key) {
  std::string_view rest = std::string_view(key.text).substr(key.recipe.size());
  const std::optional<Line> line = TakeLine(rest);
  if (!line) return "";
  return std::string(line->value.substr(std::min(line->value.find_first_of("0123456789"), line->value.size())));
}

}  // namespace

CacheKey MakeKey(const KernelSource& source, std::string_view toolchain) {
  CacheKey key;
  key.recipe = Recipe(source);
  key.text = key.recipe;
  Append(key.text, "toolchain", toolchain);
  Append(key.text, "format", kEntryFormatVersion);
  key.digest = DigestOf(key.text);
  return key;
}

std::optional<CacheKey> ParseKey(std::string_view text) {
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t at = text.size() - rest.size();
    const std::optional<Line> line = TakeLine(rest);
    if (!line) return std::nullopt;
    if (line->field != "toolchain") continue;
    const std::optional<Line> format = TakeLine(rest);
    if (!format || format->field != "format" || !rest.empty()) return std::nullopt;
    return CacheKey{std::string(text), DigestOf(text), std::string(text.substr(0, at))};
  }
  return std::nullopt;
}

bool ToolchainLess(const CacheKey& x, const CacheKey& y) {
  const int order = strverscmp(Version(x).c_str(), Version(y).c_str());
  return order != 0 ? order < 0 : x.text < y.text;
}

}  // namespace gemmsmith
