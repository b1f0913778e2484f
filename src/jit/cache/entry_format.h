#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "artifact.h"
#include "jit/key.h"

namespace gemmsmith {

/// The bytes of one cache entry; docs/cache-format.md has the grammar. Bump this with any change to it: the version is
/// part of the key, so that entries of different formats never meet.
inline constexpr std::uint32_t kEntryFormatVersion = 1;
/// Of an entry, and of its parts unpacked. Larger artifacts stay in memory.
inline constexpr std::uint64_t kMaxEntryBytes = 256ull << 20;

enum class Codec : std::uint32_t { kRaw = 0, kZstd = 1 };

/// zstd's, for entries that are written while somebody waits.
inline constexpr int kLiveLevel = 1;

/// `codec` is what is wanted: parts that zstd cannot make smaller are stored raw. Empty if larger than kMaxEntryBytes.
std::optional<std::string> EncodeEntry(const CacheKey& key, const Artifact& artifact, Codec codec = Codec::kZstd,
                                       int level = kLiveLevel);

enum class EntryState { kGood, kOtherVersion, kBroken };

struct Entry {
  EntryState state = EntryState::kBroken;
  std::string_view reason;  ///< Why it is not good; a literal.
  std::string key_text;     ///< The key it was stored under.
  Artifact artifact;
};
/// Trusts no byte: the checksum is verified first, then every length against what is there and what is allowed.
/// Without `verify_checksum` accidents within a field stay undiscovered; the lengths are checked all the same.
Entry DecodeEntry(std::string_view bytes, bool verify_checksum = true);

/// What an entry says of itself, unverified: the artifact without the bytes of its parts, and their unpacked sizes.
struct EntrySummary {
  EntryState state = EntryState::kBroken;
  std::string key_text;
  Artifact artifact;
  std::map<std::string, std::uint64_t, std::less<>> part_sizes;
};
EntrySummary SummarizeEntry(std::string_view bytes);
/// Whether an entry begins as those of an older format do, which nothing here will ever ask for.
inline constexpr std::size_t kVersionEnd = 12;  ///< As many bytes of it as that takes.
bool IsOfOlderFormat(std::string_view start);
/// The text of the key at the start of an entry; empty where `start` holds less. Nothing is verified.
std::string_view PeekKey(std::string_view start);

}  // namespace gemmsmith
