#include "kernels/include_closure.h"

#include <map>

#include "util/embedded.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

std::string_view FindTemplate(std::string_view name) {
  for (const EmbeddedFile& file : Embedded_templates())
    if (file.name == name) return file.text;
  throw Fail(Code::kInternal, "", "render: no device header \"{}\" is embedded", name);
}

void Collect(std::string_view text, std::map<std::string_view, std::string_view>& found) {
  constexpr std::string_view kInclude = "#include \"";
  for (std::size_t at = text.find(kInclude); at != text.npos; at = text.find(kInclude, at)) {
    at += kInclude.size();
    const std::string_view name = text.substr(at, text.find('"', at) - at);
    if (found.contains(name)) continue;
    found[name] = FindTemplate(name);
    Collect(found[name], found);
  }
}

}  // namespace

std::vector<SourceHeader> IncludeClosure(std::string_view text) {
  std::map<std::string_view, std::string_view> found;
  Collect(text, found);
  std::vector<SourceHeader> headers;
  for (const auto& [name, header] : found) headers.push_back({std::string(name), std::string(header)});
  return headers;
}

}  // namespace gemmsmith
