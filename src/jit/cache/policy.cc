#include "jit/cache/policy.h"

#include <sys/statvfs.h>

#include <cerrno>
#include <filesystem>

#include "gemmsmith/options.h"
#include "util/file.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {

CachePolicy CachePolicy::Development() {
  CachePolicy policy;
  policy.cache_expiration_time = std::chrono::hours(24);
  policy.enable_debug = true;
  return policy;
}

CachePolicy CachePolicy::Production() {
  CachePolicy policy;
  policy.cache_expiration_time = std::chrono::hours(24 * 30);
  policy.enable_compression = true;
  policy.enable_checksum = true;
  return policy;
}

CachePolicy WithEnvironment(CachePolicy policy) {
  const Environment& environment = Environment::Get();
  policy.allow_shared_directory |= environment.allow_shared_cache;
  policy.trusted_signers.insert(policy.trusted_signers.end(), environment.trusted_signers.begin(),
                                environment.trusted_signers.end());
  return policy;
}

PathVerdict RequireTrusted(const std::string& path, const CachePolicy& policy) {
  if (policy.allow_shared_directory) return {CanonicalPath(path), /*exists=*/true, {}, {}};
  PathVerdict verdict = InspectPath(path);
  if (verdict.reason.empty()) return verdict;
  throw Fail(Code::kInvalidArgument,
             verdict.remedy +
                 ", or GEMMSMITH_ALLOW_SHARED_CACHE=1 (CachePolicy::allow_shared_directory) to let whoever can "
                 "write there run code as you",
             "{} is not safe to take code from: {}", path, verdict.reason);
}

std::string WhyUntrusted(const struct stat& info, const CachePolicy& policy) {
  return policy.allow_shared_directory ? std::string() : WhyUntrusted(info);
}

PublicKey ReadSigner(const std::string& signer) {
  if (const std::optional<PublicKey> key = ParsePublicKey(signer)) return *key;
  const PathVerdict verdict = InspectPath(signer);
  if (!verdict.reason.empty())
    throw Fail(Code::kInvalidArgument, verdict.remedy, "{} is not safe to take a public key from: {}", signer,
               verdict.reason);
  return ReadPublicKey(verdict.path);
}

std::uint64_t GetAvailableDiskSpace(const std::string& directory) {
  const std::string named = directory.empty() ? Environment::Get().cache_dir : directory;
  if (named.empty()) throw Fail(Code::kNotFound, "name a folder, or set HOME", "free disk space: no cache directory");
  // The cache makes its folders later, on the file system of the nearest that is there.
  std::filesystem::path path = CanonicalPath(named);
  struct statvfs info {};
  while (statvfs(path.c_str(), &info) != 0) {
    if (errno != ENOENT || path == path.parent_path())
      throw IoError("look at the file system of", path.string(), errno);
    path = path.parent_path();
  }
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace gemmsmith
