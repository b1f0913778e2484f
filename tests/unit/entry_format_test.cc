#include "jit/cache/entry_format.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "../support/cache_testing.h"
#include "util/digest.h"

namespace gemmsmith {
namespace {

using testing::KeyOf;
using testing::MakeArtifact;
using testing::Random;

/// Replaces `old_bytes`, which must occur, and makes the checksum right again: what a hostile writer would do.
std::string Forge(std::string entry, const std::string& old_bytes, const std::string& new_bytes) {
  const std::size_t at = entry.find(old_bytes);
  EXPECT_NE(at, entry.npos);
  entry.replace(at, old_bytes.size(), new_bytes);
  entry.resize(entry.size() - 16);
  const Digest digest = DigestOf(entry);
  entry.append(reinterpret_cast<const char*>(&digest.low), 8).append(reinterpret_cast<const char*>(&digest.high), 8);
  return entry;
}

template <class T>
std::string BytesOf(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

class EntryFormat : public ::testing::Test {
 protected:
  EntryFormat() : trace_(__FILE__, __LINE__, random_.trace()) {}

  void ExpectBroken(const std::string& bytes, std::string_view reason) {
    const Entry entry = DecodeEntry(bytes);
    EXPECT_EQ(entry.state, EntryState::kBroken);
    EXPECT_EQ(entry.reason, reason);
  }

  Random random_;
  ::testing::ScopedTrace trace_;
  const CacheKey key_ = KeyOf("kernel");
};

TEST_F(EntryFormat, GivesBackWhatWasPutIn) {
  Artifact plain = MakeArtifact("kernel", random_), empty_part = plain, no_parts = plain, large = plain;
  empty_part.parts["ptx"].clear();
  no_parts.parts.clear();
  large.parts["cubin"] = random_.Bytes(1000) + std::string(3'000'000, 'x');
  Artifact blank;
  for (const Artifact* artifact : {&plain, &empty_part, &no_parts, &large, &blank})
    for (const Codec codec : {Codec::kRaw, Codec::kZstd}) {
      const Entry entry = DecodeEntry(EncodeEntry(key_, *artifact, codec).value());
      ASSERT_EQ(entry.state, EntryState::kGood) << entry.reason;
      EXPECT_EQ(entry.key_text, key_.text);
      EXPECT_EQ(entry.artifact, *artifact);
    }
}

TEST_F(EntryFormat, IsMadeSmallerWhereThatIsPossible) {
  Artifact artifact;
  artifact.parts["cubin"] = std::string(100'000, 'x');
  EXPECT_LT(EncodeEntry(key_, artifact)->size(), 2000u);
  artifact.parts["cubin"] = random_.Bytes(100'000);
  EXPECT_EQ(EncodeEntry(key_, artifact)->size(), EncodeEntry(key_, artifact, Codec::kRaw)->size());
}

TEST_F(EntryFormat, ReadsNothingThatIsTruncatedOrFlipped) {
  const Artifact artifact = MakeArtifact("kernel", random_);
  const std::string bytes = EncodeEntry(key_, artifact).value();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(DecodeEntry(std::string_view(bytes).substr(0, size)).state, EntryState::kBroken) << size;
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    EXPECT_NE(DecodeEntry(flipped).state, EntryState::kGood) << "bit " << bit;
  }
  EXPECT_EQ(DecodeEntry(bytes + '\0').state, EntryState::kBroken);
}

TEST_F(EntryFormat, TellsAnotherVersionFromABrokenEntry) {
  const std::string bytes = EncodeEntry(key_, MakeArtifact("kernel", random_)).value();
  for (const std::uint32_t version : {0u, kEntryFormatVersion + 1, ~0u}) {
    std::string other = bytes;
    std::memcpy(other.data() + 8, &version, sizeof version);
    EXPECT_EQ(DecodeEntry(other).state, EntryState::kOtherVersion);
  }
}

TEST_F(EntryFormat, BelievesNoLengthEvenUnderARightChecksum) {
  Artifact artifact;
  artifact.kernel_name = "a name of 24 characters.";
  artifact.parts["cubin"] = std::string(4321, 'x');
  const std::string raw = EncodeEntry(key_, artifact, Codec::kRaw).value(), zstd = EncodeEntry(key_, artifact).value();
  const std::string name_size = BytesOf<std::uint32_t>(24) + "a name", part_size = BytesOf<std::uint64_t>(4321);
  for (const std::uint32_t size : {25u, 1u << 31, ~0u})
    EXPECT_EQ(DecodeEntry(Forge(raw, name_size, BytesOf(size) + "a name")).state, EntryState::kBroken) << size;
  for (const std::uint64_t size : {0ull, 4320ull, 4322ull, kMaxEntryBytes + 0ull, kMaxEntryBytes + 1ull, ~0ull})
    for (const std::string& bytes : {raw, zstd})
      EXPECT_EQ(DecodeEntry(Forge(bytes, part_size, BytesOf(size))).state, EntryState::kBroken) << size;
  ExpectBroken(Forge(zstd, part_size, BytesOf(kMaxEntryBytes + 1)), "its lengths are impossible");
  ExpectBroken(Forge(raw, part_size + part_size, BytesOf<std::uint64_t>(4320) + BytesOf<std::uint64_t>(4320)),
               "its lengths do not add up");
}

TEST_F(EntryFormat, CapsTheSumOfTheParts) {
  Artifact artifact;
  artifact.parts["cubin"] = std::string(4321, 'x');
  artifact.parts["ptx"] = std::string(1234, 'y');
  std::string bytes = EncodeEntry(key_, artifact).value();
  bytes = Forge(bytes, BytesOf<std::uint64_t>(4321), BytesOf(kMaxEntryBytes - 1));
  bytes = Forge(bytes, BytesOf<std::uint64_t>(1234), BytesOf<std::uint64_t>(2));
  ExpectBroken(bytes, "its lengths are impossible");
}

TEST_F(EntryFormat, KnowsItsCodecsPartsAndProcessors) {
  Artifact artifact = MakeArtifact("kernel", random_);
  artifact.parts = {{"cubin", "1"}, {"ptx", "2"}};
  const std::string bytes = EncodeEntry(key_, artifact, Codec::kRaw).value();
  const std::string codec = "ptx" + BytesOf<std::uint32_t>(0);
  ExpectBroken(Forge(bytes, codec, "ptx" + BytesOf<std::uint32_t>(7)), "a part does not unpack");
  ExpectBroken(Forge(bytes, codec, "ptx" + BytesOf<std::uint32_t>(1)), "a part does not unpack");
  const std::string cubin = BytesOf<std::uint32_t>(5) + "cubin", ptx = BytesOf<std::uint32_t>(3) + "ptx";
  ExpectBroken(Forge(bytes, ptx, cubin), "its lengths do not add up");  // The same part twice.
  const std::string parts = BytesOf<std::uint32_t>(2) + cubin;
  ExpectBroken(Forge(bytes, parts, BytesOf<std::uint32_t>(~0u) + cubin), "its lengths are impossible");
  const std::string isa = artifact.lowered_name + BytesOf(Isa::kCuda);
  ExpectBroken(Forge(bytes, isa, artifact.lowered_name + '\3'), "it is for an unknown kind of processor");
}

TEST_F(EntryFormat, TakesRandomBytesForWhatTheyAre) {
  const std::string start = EncodeEntry(key_, MakeArtifact("kernel", random_)).value();
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = start.substr(0, 12 + random_.Below(200)) + random_.Bytes(16 + random_.Below(200));
    EXPECT_EQ(DecodeEntry(Forge(bytes, "GSKERNEL", "GSKERNEL")).state, EntryState::kBroken);
  }
}

TEST_F(EntryFormat, RefusesWhatIsTooLarge) {
  Artifact artifact;
  artifact.parts["cubin"] = std::string(kMaxEntryBytes + 1, 0);
  EXPECT_EQ(EncodeEntry(key_, artifact), std::nullopt);
}

}  // namespace
}  // namespace gemmsmith
