#include "jit/cache/bundle_tier.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "gemmsmith/error.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// A bundle holds code that will run: nobody but its user and root may be able to change it. Throws kInvalidArgument.
void RequireTrusted(const BundleReader& bundle) {
  struct stat info {};
  if (fstat(bundle.fd().get(), &info) != 0) throw IoError("stat", bundle.path(), errno);
  if (info.st_uid != geteuid() && info.st_uid != 0)
    throw Fail(Code::kInvalidArgument, "make a copy of your own", "bundle {}: it belongs to user {}", bundle.path(),
               info.st_uid);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    throw Fail(Code::kInvalidArgument, "chmod go-w", "bundle {}: other users may write to it", bundle.path());
}

}  // namespace

BundleTier::BundleTier(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    try {
      BundleReader bundle(path);
      RequireTrusted(bundle);
      bundles_.push_back(std::move(bundle));
    } catch (const Error& error) {
      Warn("cache: {}; going on without it", error.what());
    }
  }
}

std::unique_ptr<Tier> BundleTier::Open(const ArtifactStore::Options& options) {
  return options.bundles.empty() ? nullptr : std::make_unique<BundleTier>(options.bundles);
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
