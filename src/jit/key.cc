#include "jit/key.h"

#include <fmt/format.h>

#include <algorithm>
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

}  // namespace gemmsmith
