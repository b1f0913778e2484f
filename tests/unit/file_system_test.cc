#include "util/file_system.h"

#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/vfs.h>

namespace gemmsmith {
namespace {

TEST(FileSystem, ThoseOnOtherMachinesAreNamed) {
  const std::pair<std::uint64_t, const char*> cases[] = {
      {NFS_SUPER_MAGIC, "NFS"},   {SMB_SUPER_MAGIC, "SMB"},     {CIFS_SUPER_MAGIC, "CIFS"},
      {SMB2_SUPER_MAGIC, "SMB2"}, {CEPH_SUPER_MAGIC, "CephFS"}, {FUSE_SUPER_MAGIC, "FUSE"},
      {V9FS_MAGIC, "9P"},         {AFS_SUPER_MAGIC, "AFS"},     {AFS_FS_MAGIC, "AFS"},
      {CODA_SUPER_MAGIC, "Coda"}, {NCP_SUPER_MAGIC, "NCP"},     {OCFS2_SUPER_MAGIC, "OCFS2"},
      {0x0BD00BD0, "Lustre"},     {0x47504653, "GPFS"},         {0x19830326, "BeeGFS"}};
  for (const auto& [magic, name] : cases) EXPECT_EQ(NetworkFileSystem(magic), name) << std::hex << magic;
}

TEST(FileSystem, AMagicWhoseTopBitIsSetIsKnownAsASignedNumberToo) {
  EXPECT_EQ(NetworkFileSystem(static_cast<std::uint64_t>(static_cast<std::int32_t>(CIFS_SUPER_MAGIC))), "CIFS");
}

TEST(FileSystem, LocalAndUnknownOnesAreNot) {
  for (const std::uint64_t magic :
       {std::uint64_t{EXT4_SUPER_MAGIC}, std::uint64_t{XFS_SUPER_MAGIC}, std::uint64_t{BTRFS_SUPER_MAGIC},
        std::uint64_t{TMPFS_MAGIC}, std::uint64_t{OVERLAYFS_SUPER_MAGIC}, std::uint64_t{0}, std::uint64_t{0x12345678}})
    EXPECT_EQ(NetworkFileSystem(magic), "") << std::hex << magic;
}

TEST(FileSystem, AFolderIsAsItsFileSystem) {
  struct statfs info {};
  ASSERT_EQ(statfs("/proc", &info), 0);
  EXPECT_EQ(NetworkFileSystemOf("/proc"), NetworkFileSystem(static_cast<std::uint64_t>(info.f_type)));
  EXPECT_EQ(NetworkFileSystemOf("/proc"), "");
  EXPECT_EQ(NetworkFileSystemOf("/nonexistent"), "");
}

}  // namespace
}  // namespace gemmsmith
