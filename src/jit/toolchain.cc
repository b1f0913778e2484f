#include "jit/toolchain.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "core/installed.h"
#include "util/trust.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kNvrtcNames[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};

/// The entries of `folder` whose names start with `prefix`, newest version last in the alphabet first.
std::vector<fs::path> Entries(const fs::path& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().starts_with(prefix)) found.push_back(entry->path());
  std::sort(found.rbegin(), found.rend());
  return found;
}

std::vector<fs::path> ToolkitRoots(const Environment& environment) {
  std::vector<fs::path> roots;
  if (!environment.cuda_home.empty()) roots.emplace_back(environment.cuda_home);
  roots.emplace_back("/usr/local/cuda");
  return roots;
}

/// Folders into which pip installs.
std::vector<fs::path> SitePackages() {
  std::vector<fs::path> sites;
  if (const std::string own = InstalledPackages(); !own.empty()) sites.emplace_back(own);
  for (const auto& [root, name] :
       {std::pair<std::string, const char*>{TrustedVariable("VIRTUAL_ENV"), "site-packages"},
        {TrustedVariable("HOME").empty() ? "" : TrustedVariable("HOME") + "/.local", "site-packages"},
        {"/usr/local", "dist-packages"},
        {"/usr", "dist-packages"}})
    if (!root.empty())
      for (const fs::path& python : Entries(fs::path(root) / "lib", "python3")) sites.push_back(python / name);
  return sites;
}

class Searcher {
 public:
  /// Takes the first of `names` that `folder` holds.
  template <class Names>
  void Folder(const fs::path& folder, const Names& names) {
    Note(folder.string());
    std::error_code error;
    for (std::string_view name : names)
      if (fs::is_regular_file(folder / name, error)) return search_.candidates.push_back((folder / name).string());
  }
  /// The toolkit, then PATH.
  template <class Names>
  void Program(const Environment& environment, const Names& names) {
    for (const fs::path& root : ToolkitRoots(environment)) Folder(root / "bin", names);
    const std::string path = TrustedVariable("PATH");
    for (std::size_t begin = 0; begin < path.size();) {
      const std::size_t end = std::min(path.find(':', begin), path.size());
      if (end > begin) Folder(path.substr(begin, end - begin), names);
      begin = end + 1;
    }
  }
  void File(const std::string& path) {
    Note(path);
    std::error_code error;
    if (fs::is_regular_file(path, error)) search_.candidates.push_back(path);
  }
  void Soname(std::string_view name) { search_.candidates.emplace_back(name); }
  void Note(std::string_view place) {
    if (!search_.looked_in.empty()) search_.looked_in += ", ";
    search_.looked_in += place;
  }
  ToolSearch Take() { return std::move(search_); }

 private:
  ToolSearch search_;
};

}  // namespace

ToolSearch SearchNvrtc(const Environment& environment) {
  Searcher searcher;
  if (!environment.nvrtc.empty()) {
    std::error_code error;
    if (fs::is_directory(environment.nvrtc, error)) {
      searcher.Folder(environment.nvrtc, kNvrtcNames);
    } else {
      searcher.File(environment.nvrtc);
    }
    return searcher.Take();
  }
  for (const fs::path& root : ToolkitRoots(environment))
    for (const char* folder : {"lib64", "lib", "targets/x86_64-linux/lib"}) searcher.Folder(root / folder, kNvrtcNames);
  for (const fs::path& site : SitePackages())
    for (const char* folder : {"nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"}) searcher.Folder(site / folder, kNvrtcNames);
  for (std::string_view name : kNvrtcNames) searcher.Soname(name);
  searcher.Note("the loader's path");
  return searcher.Take();
}

ToolSearch SearchNvcc(const Environment& environment) {
  Searcher searcher;
  if (!environment.nvcc.empty()) {
    searcher.File(environment.nvcc);
    return searcher.Take();
  }
  constexpr std::string_view kName[] = {"nvcc"};
  searcher.Program(environment, kName);
  return searcher.Take();
}

ToolSearch SearchDisassembler(const Environment& environment) {
  Searcher searcher;
  constexpr std::string_view kNames[] = {"nvdisasm", "cuobjdump"};
  searcher.Program(environment, kNames);
  for (const fs::path& site : SitePackages()) searcher.Folder(site / "nvidia/cu13/bin", kNames);
  return searcher.Take();
}

std::vector<std::string> BuiltinsBeside(const std::string& nvrtc) {
  std::vector<std::string> files;
  for (const fs::path& file : Entries(fs::path(nvrtc).parent_path(), "libnvrtc-builtins.so."))
    files.push_back(file.string());
  return files;
}

}  // namespace gemmsmith
