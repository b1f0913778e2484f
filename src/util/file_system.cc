#include "util/file_system.h"

#include <sys/vfs.h>

namespace gemmsmith {

std::string_view NetworkFileSystem(std::uint64_t magic) {
  // linux/magic.h, and statfs(2) for those that are not part of the kernel.
  static constexpr struct {
    std::uint32_t magic;
    std::string_view name;
  } kKinds[] = {
      {0x00006969, "NFS"},    {0x0000517B, "SMB"},    {0xFF534D42, "CIFS"},     {0xFE534D42, "SMB2"},
      {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"},   {0x00C36400, "CephFS"},   {0x65735546, "FUSE"},
      {0x01021997, "9P"},     {0x19830326, "BeeGFS"}, {0xAAD7AAEA, "PanFS"},    {0x5346414F, "AFS"},
      {0x6B414653, "AFS"},    {0x73757245, "Coda"},   {0x20030528, "OrangeFS"}, {0x01161970, "GFS2"},
      {0x7461636F, "OCFS2"},  {0x0000564C, "NCP"},    {0x786F4256, "vboxsf"},   {0xBACBACBC, "vmhgfs"},
  };
  for (const auto& kind : kKinds)
    if (kind.magic == static_cast<std::uint32_t>(magic)) return kind.name;
  return {};
}

std::string_view NetworkFileSystemOf(const std::string& path) {
  struct statfs info {};
  return statfs(path.c_str(), &info) == 0 ? NetworkFileSystem(static_cast<std::uint64_t>(info.f_type))
                                          : std::string_view();
}

}  // namespace gemmsmith
