#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gemmsmith {

/// The name of a kind of file system that lies on another machine ("NFS"), or may ("FUSE"). Empty: a local one, or
/// unknown. `magic` is statfs' f_type.
std::string_view NetworkFileSystem(std::uint64_t magic);
/// Of the file system that `path` is on. Empty too where that cannot be told.
std::string_view NetworkFileSystemOf(const std::string& path);

}  // namespace gemmsmith
