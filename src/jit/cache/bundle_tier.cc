#include "jit/cache/bundle_tier.h"

#include <utility>

#include "core/installed.h"
#include "gemmsmith/error.h"
#include "jit/cache/policy.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// Those that can be read. A demand stays one, even if nobody can meet it.
std::vector<PublicKey> TrustedSigners(const CachePolicy& policy) {
  std::vector<PublicKey> keys;
  for (const std::string& signer : policy.trusted_signers) {
    try {
      keys.push_back(ReadSigner(signer));
    } catch (const Error& error) {
      Warn("cache: a trusted signer of bundles is left out: {}", error.what());
    }
  }
  return keys;
}

}  // namespace

BundleTier::BundleTier(const std::vector<std::string>& paths, const CachePolicy& policy) {
  const std::vector<PublicKey> signers = TrustedSigners(policy);
  // Who could change that one could change the library itself.
  const std::string installed = InstalledBundle();
  for (const std::string& path : paths) {
    try {
      // Before it is opened: from then on nobody can put another file in its place.
      if (path != installed) RequireTrusted(path, policy);
      BundleReader bundle(path);
      if (path != installed && !policy.trusted_signers.empty()) bundle.RequireSigner(signers);
      bundles_.push_back(std::move(bundle));
    } catch (const Error& error) {
      Warn("cache: {}; going on without it", error.what());
    }
  }
}

std::unique_ptr<Tier> BundleTier::Open(const ArtifactStore::Options& options) {
  return options.bundles.empty() ? nullptr : std::make_unique<BundleTier>(options.bundles, options.policy);
}

/// Broken where it cannot be read, too.
Entry BundleTier::Read(const BundleReader& bundle, const BundleRow& row) {
  Entry entry;
  std::string reason;
  try {
    entry = bundle.Read(row);
    reason = entry.reason;
  } catch (const Error& error) {
    reason = error.what();
  }
  if (entry.state != EntryState::kBroken) return entry;
  bool is_new = false;
  {
    std::scoped_lock lock(mutex_);
    is_new = reported_.insert(&bundle).second;
  }
  if (is_new) Warn("cache: bundle {}: entry {} is not used: {}", bundle.path(), row.key.Hex(), reason);
  return entry;
}

ArtifactPtr BundleTier::Get(const CacheKey& key) {
  for (const BundleReader& bundle : bundles_) {
    const BundleRow* const row = bundle.Find(key.digest);
    if (row == nullptr) continue;
    Entry entry = Read(bundle, *row);
    if (entry.state == EntryState::kGood && entry.key_text == key.text)
      return std::make_shared<const Artifact>(std::move(entry.artifact));
  }
  return nullptr;
}

void BundleTier::ForEach(const std::function<bool(const std::string&, std::uint64_t)>& visit) {
  std::set<Digest> visited;
  for (const BundleReader& bundle : bundles_)
    for (const BundleRow& row : bundle.rows())
      if (visited.insert(row.key).second && !visit(row.key.Hex(), row.size)) return;
}

std::vector<CacheKey> BundleTier::KeysOf(const std::string& recipe) {
  const Digest digest = DigestOf(recipe);
  std::vector<CacheKey> keys;
  for (const BundleReader& bundle : bundles_)
    for (const BundleRow& row : bundle.rows()) {
      if (row.recipe != digest) continue;
      const Entry entry = Read(bundle, row);
      std::optional<CacheKey> key = ParseKey(entry.key_text);
      if (entry.state == EntryState::kGood && key && key->recipe == recipe) keys.push_back(std::move(*key));
    }
  return keys;
}

}  // namespace gemmsmith
