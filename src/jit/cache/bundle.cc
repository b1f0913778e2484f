#include "gemmsmith/bundle.h"

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

#include "jit/cache/bundle.h"
#include "jit/cache/bundle_format.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/entry_files.h"
#include "jit/cache/policy.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// All of it is as it was written, and by one of those whom the policy trusts.
BundleReader OpenVerified(const std::string& path, const CachePolicy& policy) {
  std::vector<PublicKey> signers;
  for (const std::string& signer : policy.trusted_signers) signers.push_back(ReadSigner(signer));
  BundleReader bundle(path);
  if (!signers.empty()) bundle.RequireSigner(signers);
  bundle.Verify();
  return bundle;
}

/// A bundle that is exported or imported is whole, or nothing is done with it.
Entry ReadVerified(const BundleReader& bundle, const BundleRow& row) {
  Entry entry = bundle.Read(row);
  if (entry.state != EntryState::kGood)
    throw Fail(Code::kInvalidArgument, "make it anew with the gemmsmith that reads it", "bundle {}: entry {}: {}",
               bundle.path(), row.key.Hex(), entry.reason);
  return entry;
}

}  // namespace

BundleSummary WriteBundle(const std::string& path, const BundleOptions& options, std::vector<std::string> digests,
                          const std::function<std::optional<Keyed>(const std::string& digest)>& read) {
  if (options.level < 1 || options.level > kBundleLevel)
    throw Fail(Code::kInvalidArgument, "", "bundle: level {} must be from 1 to {}", options.level, kBundleLevel);
  std::ranges::sort(digests);
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  BundleSummary summary;
  BundleWriter writer(path, options);
  for (const std::string& digest : digests) {
    const std::optional<Keyed> kernel = read(digest);
    if (kernel && writer.Add(kernel->key, *kernel->artifact)) {
      ++summary.kernels;
      summary.raw_bytes += kernel->artifact->size();
    } else {
      ++summary.left_out;
    }
  }
  summary.stored_bytes = writer.Finish();
  return summary;
}

BundleSummary ExportBundle(const std::string& cache_dir, const std::string& path, const BundleOptions& options) {
  // Not of a folder that others can write to: what they put there would go on in this user's name, even signed.
  const CachePolicy policy = WithEnvironment({});
  const std::string directory = RequireTrusted(cache_dir, policy).path;
  DiskTier disk(directory, {}, policy);
  std::vector<std::string> digests;
  VisitEntries(directory, [&](const EntryFile& entry) { return digests.push_back(entry.digest), true; });
  return WriteBundle(path, options, std::move(digests), [&](const std::string& digest) -> std::optional<Keyed> {
    Entry entry = disk.Read(digest);
    const std::optional<CacheKey> key = ParseKey(entry.key_text);
    if (entry.state != EntryState::kGood || !key || key->digest.Hex() != digest) return std::nullopt;
    return Keyed{*key, std::make_shared<const Artifact>(std::move(entry.artifact))};
  });
}

BundleSummary ImportBundle(const std::string& path, const std::string& cache_dir,
                           const std::vector<std::string>& signers) {
  CachePolicy policy = WithEnvironment({});
  policy.trusted_signers.insert(policy.trusted_signers.end(), signers.begin(), signers.end());
  const BundleReader bundle = OpenVerified(path, policy);
  DiskTier disk(RequireTrusted(cache_dir, policy).path, {}, policy);
  BundleSummary summary;
  for (const BundleRow& row : bundle.rows()) {
    Entry entry = ReadVerified(bundle, row);
    const std::optional<CacheKey> key = ParseKey(entry.key_text);
    if (!key || disk.Get(*key) != nullptr) {
      ++summary.left_out;
      continue;
    }
    entry.artifact.created_unix = std::time(nullptr);
    const auto artifact = std::make_shared<const Artifact>(std::move(entry.artifact));
    disk.Put(*key, artifact);
    if (const std::string trouble = disk.Trouble(); !trouble.empty())
      throw Fail(Code::kIo, "", "import of {}: {}", path, trouble);
    ++summary.kernels;
    summary.raw_bytes += artifact->size();
    summary.stored_bytes += row.size;
  }
  return summary;
}

std::vector<BundleKernel> ReadBundle(const std::string& path, const std::vector<std::string>& signers) {
  const BundleReader bundle = OpenVerified(path, {.trusted_signers = signers});
  const std::string signer = bundle.signer() ? bundle.signer()->Hex() : "";
  std::vector<BundleKernel> kernels;
  for (const BundleRow& row : bundle.rows()) {
    const Entry entry = ReadVerified(bundle, row);
    const Artifact& artifact = entry.artifact;
    kernels.push_back({row.key.Hex(), entry.key_text, artifact.kernel_name, ToString(artifact.target), artifact.problem,
                       artifact.config, artifact.compiler, artifact.size(), row.size, signer});
  }
  return kernels;
}

std::string MakeSigningKey(const std::string& name) { return MakeSigningKeyFiles(name).Hex(); }

}  // namespace gemmsmith
