#include "cubin.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::uint16_t kMachineCuda = 190;  // EM_CUDA
constexpr std::uint8_t kEntrySymbol = 0x10;  // st_other: a __global__ function
constexpr std::uint8_t kFormatSized = 4;     // of an attribute: two bytes of size follow, then the value
constexpr std::uint8_t kAttributeMaxThreads = 0x05, kAttributeRequiredThreads = 0x10, kAttributeFrameSize = 0x11,
                       kAttributeRegisters = 0x2f;
constexpr std::size_t kInstructionBytes = 16;
constexpr int kReservedShared = 1024;  // where a section .nv.shared.reserved.* says that the system has its part

Error Broken(std::string_view what) { return Fail(Code::kInvalidArgument, "", "read cubin: {}", what); }

/// Bytes that are only ever read inside their bounds.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T At(std::uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, Part(offset, sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view Part(std::uint64_t offset, std::uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) throw Broken("truncated");
    return bytes_.substr(offset, size);
  }
  /// The zero-terminated string at `offset`.
  std::string_view String(std::uint64_t offset) const {
    if (offset >= bytes_.size()) throw Broken("a name lies outside its table");
    const std::string_view rest = bytes_.substr(offset);
    return rest.substr(0, rest.find('\0'));
  }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

class Elf {
 public:
  explicit Elf(std::string_view bytes) : file_(bytes) {
    if (bytes.substr(0, SELFMAG) != ELFMAG) throw Broken("no ELF file");
    const auto header = file_.At<Elf64_Ehdr>(0);
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != kMachineCuda) throw Broken("no CUDA code");
    file_.Part(header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr));
    for (int i = 0; i < header.e_shnum; ++i)
      sections_.push_back(file_.At<Elf64_Shdr>(header.e_shoff + static_cast<std::uint64_t>(i) * sizeof(Elf64_Shdr)));
    names_ = Content(Section(header.e_shstrndx));
  }

  const std::vector<Elf64_Shdr>& sections() const { return sections_; }
  const Elf64_Shdr& Section(std::size_t index) const {
    if (index >= sections_.size()) throw Broken("a section that is not there");
    return sections_[index];
  }
  std::string_view Name(const Elf64_Shdr& section) const { return Bytes(names_).String(section.sh_name); }
  std::string_view Content(const Elf64_Shdr& section) const {
    return section.sh_type == SHT_NOBITS ? std::string_view() : file_.Part(section.sh_offset, section.sh_size);
  }

 private:
  Bytes file_;
  std::vector<Elf64_Shdr> sections_;
  std::string_view names_;
};

/// Entry points by symbol number; attributes name kernels by it.
std::map<std::uint32_t, CubinKernel> Entries(const Elf& elf) {
  std::map<std::uint32_t, CubinKernel> entries;
  for (const Elf64_Shdr& section : elf.sections()) {
    if (section.sh_type != SHT_SYMTAB) continue;
    const Bytes table(elf.Content(section)), strings(elf.Content(elf.Section(section.sh_link)));
    for (std::uint32_t i = 0; (i + std::uint64_t{1}) * sizeof(Elf64_Sym) <= table.size(); ++i) {
      const auto symbol = table.At<Elf64_Sym>(i * sizeof(Elf64_Sym));
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && (symbol.st_other & kEntrySymbol) != 0)
        entries[i].name = strings.String(symbol.st_name);
    }
  }
  return entries;
}

/// Calls visit(attribute, value bytes) for each sized attribute of an .nv.info section.
template <class Visit>
void ForEachAttribute(std::string_view content, Visit visit) {
  const Bytes bytes(content);
  for (std::uint64_t at = 0; at + 4 <= bytes.size(); at += 4) {
    if (bytes.At<std::uint8_t>(at) != kFormatSized) continue;
    const auto size = bytes.At<std::uint16_t>(at + 2);
    visit(bytes.At<std::uint8_t>(at + 1), Bytes(bytes.Part(at + 4, size)));
    at += size;
  }
}

void ReadCommonAttributes(std::string_view content, std::map<std::uint32_t, CubinKernel>& entries) {
  ForEachAttribute(content, [&](std::uint8_t attribute, const Bytes& value) {
    if (attribute != kAttributeRegisters && attribute != kAttributeFrameSize) return;
    const auto entry = entries.find(value.At<std::uint32_t>(0));
    if (entry == entries.end()) return;
    const auto number = static_cast<int>(value.At<std::uint32_t>(4));
    KernelResources& resources = entry->second.resources;
    (attribute == kAttributeRegisters ? resources.registers : resources.spill_bytes) = number;
  });
}

void ReadKernelAttributes(std::string_view content, CubinKernel& kernel) {
  ForEachAttribute(content, [&](std::uint8_t attribute, const Bytes& value) {
    if (attribute != kAttributeMaxThreads && attribute != kAttributeRequiredThreads) return;
    std::uint64_t threads = 1;
    for (int i = 0; i < 3; ++i) threads *= value.At<std::uint32_t>(static_cast<std::uint64_t>(4 * i)) & 0xffff;
    kernel.resources.max_threads = static_cast<int>(threads & 0x7fffffff);
  });
}

void ReadCode(std::string_view code, CubinKernel& kernel) {
  const Bytes bytes(code);
  kernel.resources.code_bytes = static_cast<std::int64_t>(code.size());
  for (std::uint64_t at = 0; at + kInstructionBytes <= bytes.size(); at += kInstructionBytes)
    ++kernel.opcodes[bytes.At<std::uint16_t>(at) & 0xfff];
}

/// What follows `prefix` in `name`, if it starts so.
bool Strip(std::string_view& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::vector<CubinKernel> ReadCubin(std::string_view bytes) {
  const Elf elf(bytes);
  std::map<std::uint32_t, CubinKernel> entries = Entries(elf);
  std::map<std::string, CubinKernel*, std::less<>> by_name;
  for (auto& [symbol, kernel] : entries) by_name[kernel.name] = &kernel;
  bool reserved_shared = false;
  std::uint64_t code_bytes = 0;
  for (const Elf64_Shdr& section : elf.sections()) {
    std::string_view name = elf.Name(section);
    const auto find = [&] {
      const auto found = by_name.find(name);
      return found == by_name.end() ? nullptr : found->second;
    };
    if (name == ".nv.info") {
      ReadCommonAttributes(elf.Content(section), entries);
    } else if (name.starts_with(".nv.shared.reserved.")) {
      reserved_shared = true;
    } else if (Strip(name, ".nv.info.")) {
      if (CubinKernel* kernel = find()) ReadKernelAttributes(elf.Content(section), *kernel);
    } else if (Strip(name, ".nv.shared.")) {
      if (CubinKernel* kernel = find())
        kernel->resources.static_shared_bytes = static_cast<int>(std::min<std::uint64_t>(section.sh_size, 1u << 30));
    } else if (Strip(name, ".text.")) {
      // Bounds the work that a file of overlapping sections can ask for.
      if ((code_bytes += elf.Content(section).size()) > bytes.size()) throw Broken("sections overlap");
      if (CubinKernel* kernel = find()) ReadCode(elf.Content(section), *kernel);
    }
  }
  std::vector<CubinKernel> kernels;
  for (auto& [name, kernel] : by_name) {
    int& shared = kernel->resources.static_shared_bytes;
    if (reserved_shared) shared = std::max(0, shared - kReservedShared);
    kernels.push_back(std::move(*kernel));
  }
  return kernels;
}

}  // namespace gemmsmith
