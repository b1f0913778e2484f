#include "core/installed.h"

#include <dlfcn.h>
#include <link.h>

#include <filesystem>
#include <system_error>

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;

/// Of the file with this code: the shared library, or the program that was linked with the static one.
fs::path OwnFolder() {
  Dl_info info{};
  link_map* object = nullptr;
  if (dladdr1(reinterpret_cast<void*>(&InstalledBundle), &info, reinterpret_cast<void**>(&object), RTLD_DL_LINKMAP) ==
      0)
    return {};
  // The program's own entry has no name.
  const fs::path file = object->l_name != nullptr && *object->l_name != 0 ? object->l_name : "/proc/self/exe";
  std::error_code error;
  return fs::canonical(file, error).parent_path();
}

}  // namespace

std::string InstalledBundle() {
  const fs::path folder = OwnFolder();
  if (folder.empty()) return "";
  // Relative, so that the installed tree can be moved.
  for (const char* place : {"gemmsmith/kernels.gsb", "../" GEMMSMITH_INSTALL_LIBDIR "/gemmsmith/kernels.gsb"}) {
    std::error_code error;
    if (const fs::path path = (folder / place).lexically_normal(); fs::is_regular_file(path, error))
      return path.string();
  }
  return "";
}

std::string InstalledPackages() {
  const fs::path folder = OwnFolder().parent_path();
  return folder.filename() == "site-packages" || folder.filename() == "dist-packages" ? folder.string() : "";
}

}  // namespace gemmsmith
