#include "gemmsmith/bundle.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "core/parallel.h"
#include "jit/cache/bundle.h"
#include "jit/cache/bundle_format.h"
#include "jit/cache/disk_tier.h"
#include "jit/cache/entry_files.h"
#include "jit/cache/eviction.h"
#include "jit/cache/policy.h"
#include "util/log.h"
#include "util/paths.h"

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
  // Entries are read and encoded on all cores, and written in order.
  constexpr std::size_t kBatch = 64;
  for (std::size_t first = 0; first < digests.size(); first += kBatch) {
    const std::size_t count = std::min(kBatch, digests.size() - first);
    std::vector<std::optional<Keyed>> kernels(count);
    std::vector<std::optional<std::string>> entries(count);
    ParallelFor(std::ssize(kernels), [&](std::int64_t i) {
      kernels[i] = read(digests[first + i]);
      if (kernels[i]) entries[i] = BundleWriter::Encode(kernels[i]->key, *kernels[i]->artifact, options.level);
    });
    for (std::size_t i = 0; i < count; ++i) {
      if (kernels[i] && writer.Append(kernels[i]->key, entries[i])) {
        ++summary.kernels;
        summary.raw_bytes += kernels[i]->artifact->size();
      } else {
        ++summary.left_out;
      }
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
  const std::string wanted = RequireTrusted(cache_dir, policy).path;
  DiskTier disk(wanted, {}, policy);
  // All of it is read before any of it is written.
  std::vector<std::optional<std::uint64_t>> new_bytes(bundle.rows().size());
  ParallelFor(std::ssize(new_bytes), [&](std::int64_t i) {
    const BundleRow& row = bundle.rows()[i];
    const Entry entry = ReadVerified(bundle, row), present = disk.Read(row.key.Hex());
    if (present.state != EntryState::kGood || present.key_text != entry.key_text) new_bytes[i] = entry.artifact.size();
  });
  // Looked at again once it is there: somebody else may have been quicker to make it.
  MakePrivateDirectories(wanted);
  const std::string directory = RequireTrusted(cache_dir, policy).path;
  ParallelFor(std::ssize(new_bytes), [&](std::int64_t i) {
    const BundleRow& row = bundle.rows()[i];
    if (new_bytes[i]) WriteEntry(directory, row.key.Hex(), bundle.ReadBytes(row), policy.enable_sync);
  });
  BundleSummary summary;
  for (std::size_t i = 0; i < new_bytes.size(); ++i) {
    ++(new_bytes[i] ? summary.kernels : summary.left_out);
    if (new_bytes[i]) summary.raw_bytes += *new_bytes[i], summary.stored_bytes += bundle.rows()[i].size;
  }
  for (int shard = 0; shard < kShards; shard += ShardsPerGroup(policy))
    EvictAround(directory, fmt::format("{:02x}", shard), policy);
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
