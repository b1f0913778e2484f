#include "util/dynamic_library.h"

#include <dlfcn.h>
#include <link.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "util/log.h"

namespace gemmsmith {
namespace {

const char* LoaderWords() {
  const char* words = dlerror();
  return words != nullptr ? words : "no reason given";
}

link_map* LinkMap(void* handle) {
  link_map* map = nullptr;
  return handle != nullptr && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 ? map : nullptr;
}

struct BuildIdQuery {
  ElfW(Addr) base;
  std::string id;
};

/// The GNU build id among the notes of [note, end), hexadecimal.
std::string FindBuildId(const char* note, const char* end) {
  const auto padded = [](std::size_t bytes) { return (bytes + 3) & ~std::size_t{3}; };
  while (note + sizeof(ElfW(Nhdr)) <= end) {
    const auto& header = *reinterpret_cast<const ElfW(Nhdr)*>(note);
    const char* name = note + sizeof header;
    const char* data = name + padded(header.n_namesz);
    if (header.n_type == NT_GNU_BUILD_ID && std::string_view(name, header.n_namesz) == std::string_view("GNU\0", 4)) {
      std::string id;
      for (std::size_t i = 0; i < header.n_descsz; ++i)
        id += fmt::format("{:02x}", static_cast<unsigned char>(data[i]));
      return id;
    }
    note = data + padded(header.n_descsz);
  }
  return "";
}

int VisitObject(dl_phdr_info* object, std::size_t, void* opaque) {
  auto& query = *static_cast<BuildIdQuery*>(opaque);
  if (object->dlpi_addr != query.base) return 0;
  for (int i = 0; i < object->dlpi_phnum && query.id.empty(); ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const char* notes = reinterpret_cast<const char*>(object->dlpi_addr + segment.p_vaddr);
    query.id = FindBuildId(notes, notes + segment.p_memsz);
  }
  return 1;
}

}  // namespace

DynamicLibrary::DynamicLibrary(const std::string& path)
    : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)), name_(path) {
  if (handle_ == nullptr) throw Fail(Code::kNotFound, "", "cannot load {}: {}", path, LoaderWords());
}

DynamicLibrary::DynamicLibrary(DynamicLibrary&& other) noexcept { *this = std::move(other); }

DynamicLibrary& DynamicLibrary::operator=(DynamicLibrary&& other) noexcept {
  std::swap(handle_, other.handle_);
  std::swap(name_, other.name_);
  return *this;
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) dlclose(handle_);
}

std::string DynamicLibrary::path() const {
  const link_map* map = LinkMap(handle_);
  if (map == nullptr) return name_;
  char absolute[PATH_MAX];
  return realpath(map->l_name, absolute) != nullptr ? absolute : map->l_name;
}

std::string DynamicLibrary::BuildId() const {
  const link_map* map = LinkMap(handle_);
  if (map == nullptr) return "";
  BuildIdQuery query{map->l_addr, ""};
  dl_iterate_phdr(VisitObject, &query);
  return query.id;
}

void* DynamicLibrary::Find(const char* symbol) const { return handle_ != nullptr ? dlsym(handle_, symbol) : nullptr; }

void* DynamicLibrary::Require(const char* symbol) const {
  if (void* found = Find(symbol)) return found;
  throw Fail(Code::kNotFound, "", "{} has no function {}", path(), symbol);
}

}  // namespace gemmsmith
