#include "jit/cache/bundle_format.h"

#include <gtest/gtest.h>

#include <cstring>

#include "../support/bundle_testing.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using testing::Bundled;
using testing::BundleEntry;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::MakeBundle;
using testing::ReadFile;
using testing::WriteFile;

constexpr std::size_t kRowBytes = 40, kTrailerBytes = 72;

template <class T>
std::string BytesOf(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string BytesOf(const Digest& digest) { return BytesOf(digest.low) + BytesOf(digest.high); }

/// The index and trailer of `count` rows, under right checksums: what a hostile writer would make.
std::string Forge(const std::string& entries, const std::string& index, std::uint64_t count) {
  const std::string header = "GSBUNDLE" + BytesOf(kBundleFormatVersion);
  const std::string tail = std::string(32, 0) + BytesOf(count);  // Signed by nobody.
  const Digest digest = DigestOf(header + index + tail);
  const std::string file = header + entries + index + tail + BytesOf(digest);
  return file + BytesOf(DigestOf(file));
}
std::string Row(const Digest& key, std::uint64_t size) { return BytesOf(key) + BytesOf(Digest{}) + BytesOf(size); }

class BundleFormat : public ::testing::Test {
 protected:
  std::vector<BundleEntry> Entries(std::size_t count, std::size_t bytes = 300) {
    std::vector<BundleEntry> entries;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string kernel = "f" + std::to_string(i);
      entries.push_back({KeyOf(kernel), MakeArtifact(kernel, random_, bytes)});
    }
    return entries;
  }
  void ExpectRefused(const std::string& bytes, const std::string& reason) {
    WriteFile(path_, bytes);
    try {
      BundleReader reader(path_);
      ADD_FAILURE() << "not refused; expected: " << reason;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
      EXPECT_EQ(error.message(), "bundle " + path_ + ": " + reason);
    }
  }

  testing::TempDir dir_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const std::string path_ = dir_ / "kernels.gsb";
};

TEST_F(BundleFormat, GivesBackWhatWasPutIn) {
  for (const std::size_t count : {0u, 1u, 2u, 100u}) {
    const std::vector<BundleEntry> entries = Entries(count);
    MakeBundle(path_, entries);
    const BundleReader reader(path_);
    reader.Verify();
    EXPECT_EQ(reader.rows().size(), count);
    for (const BundleEntry& wanted : entries) {
      const BundleRow* const row = reader.Find(wanted.key.digest);
      ASSERT_NE(row, nullptr);
      EXPECT_EQ(row->recipe, RecipeDigest(wanted.key));
      const Entry entry = reader.Read(*row);
      ASSERT_EQ(entry.state, EntryState::kGood) << entry.reason;
      EXPECT_EQ(entry.key_text, wanted.key.text);
      EXPECT_EQ(entry.artifact, Bundled(wanted.artifact));
    }
    EXPECT_EQ(reader.Find(KeyOf("another").digest), nullptr);
  }
}

TEST_F(BundleFormat, TheSameKernelsMakeTheSameBytesWheneverTheyWereCompiled) {
  std::vector<BundleEntry> entries = Entries(5);
  MakeBundle(path_, entries);
  const std::string first = ReadFile(path_);
  for (BundleEntry& entry : entries) {
    entry.artifact.compile_ms += 1;
    entry.artifact.created_unix += 1;
    entry.artifact.log += "Compile time = 3 ms";
  }
  std::ranges::reverse(entries);
  MakeBundle(path_, entries);
  EXPECT_EQ(ReadFile(path_), first);
  entries[0].artifact.parts["cubin"] += 'x';
  MakeBundle(path_, entries);
  EXPECT_NE(ReadFile(path_), first);
}

TEST_F(BundleFormat, IsTheSmallerTheHigherTheLevel) {
  std::vector<BundleEntry> entries = Entries(1);
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i * 7919 % 1000) + ", ";
  entries[0].artifact.parts["ptx"] = text;
  MakeBundle(path_, entries, {.level = 1});
  const std::size_t low = fs::file_size(path_);
  MakeBundle(path_, entries, {.level = 19});
  EXPECT_LT(fs::file_size(path_), low);
}

TEST_F(BundleFormat, KeysOutOfOrderAreRefused) {
  std::vector<BundleEntry> entries = Entries(2);
  std::ranges::sort(entries, {}, [](const BundleEntry& entry) { return entry.key.digest; });
  BundleWriter writer(path_, {});
  EXPECT_TRUE(writer.Add(entries[1].key, entries[1].artifact));
  EXPECT_THROW(writer.Add(entries[0].key, entries[0].artifact), Error);
  EXPECT_THROW(writer.Add(entries[1].key, entries[1].artifact), Error);
}

TEST_F(BundleFormat, IsThereWholeOrNotAtAll) {
  { BundleWriter(path_, {}).Add(KeyOf("f"), MakeArtifact("f", random_)); }
  EXPECT_TRUE(fs::is_empty(dir_.string()));
  EXPECT_THROW(BundleWriter(dir_ / "none/kernels.gsb", {}), Error);
}

TEST_F(BundleFormat, IsRefusedWhereverItIsTruncated) {
  MakeBundle(path_, Entries(2, 40));
  const std::string bytes = ReadFile(path_);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    WriteFile(path_, bytes.substr(0, size));
    EXPECT_THROW(BundleReader{path_}, Error) << size;
  }
  WriteFile(path_, bytes + '\0');
  EXPECT_THROW(BundleReader{path_}, Error);
}

TEST_F(BundleFormat, AFlippedBitIsNoticedWhereverItIsAndNeverRead) {
  const std::vector<BundleEntry> entries = Entries(2, 40);
  MakeBundle(path_, entries);
  const std::string bytes = ReadFile(path_);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    WriteFile(path_, flipped);
    try {
      const BundleReader reader(path_);
      for (const BundleEntry& wanted : entries) {
        const BundleRow* const row = reader.Find(wanted.key.digest);
        ASSERT_NE(row, nullptr) << "bit " << bit;
        const bool is_hit = bit / 8 >= row->offset && bit / 8 < row->offset + row->size;
        const Entry entry = reader.Read(*row);
        EXPECT_EQ(entry.state != EntryState::kGood, is_hit) << "bit " << bit;
        EXPECT_TRUE(is_hit || entry.artifact == Bundled(wanted.artifact)) << "bit " << bit;
      }
      EXPECT_THROW(reader.Verify(), Error) << "bit " << bit;
    } catch (const Error&) {
      EXPECT_TRUE(bit / 8 < 12 || bit / 8 >= bytes.size() - 2 * kRowBytes - kTrailerBytes) << "bit " << bit;
    }
  }
}

TEST_F(BundleFormat, BelievesNoLengthEvenUnderARightChecksum) {
  const std::string impossible = "its lengths are impossible", sum = "its lengths do not add up";
  const Digest one{0, 1}, two{0, 2};
  WriteFile(path_, Forge("abc", Row(one, 1) + Row(two, 2), 2));
  EXPECT_EQ(BundleReader(path_).rows().size(), 2u) << "forged well";
  for (const std::uint64_t size : std::initializer_list<std::uint64_t>{4, kMaxEntryBytes + 1, 1ull << 63, ~0ull})
    ExpectRefused(Forge("abc", Row(one, size), 1), impossible);
  ExpectRefused(Forge("abc", Row(one, 2) + Row(two, ~0ull), 2), impossible);
  for (const std::uint64_t size : {0, 2}) ExpectRefused(Forge("abc", Row(one, size), 1), sum);
  ExpectRefused(Forge("abc", Row(one, 3), 2), impossible);
  for (const std::uint64_t count : std::initializer_list<std::uint64_t>{kMaxBundleEntries + 1, 1ull << 60, ~0ull})
    ExpectRefused(Forge("abc", Row(one, 3), count), impossible);
  ExpectRefused(Forge("abc", Row(two, 1) + Row(one, 2), 2), "its index is not sorted");
  ExpectRefused(Forge("abc", Row(one, 1) + Row(one, 2), 2), "its index is not sorted");
}

TEST_F(BundleFormat, KnowsWhatIsNoBundleAndWhatIsOfAnotherVersion) {
  MakeBundle(path_, Entries(1));
  std::string bytes = ReadFile(path_);
  ExpectRefused(std::string(1000, 'x'), "it is no bundle, or a part of one");
  for (const std::uint32_t version : {0u, kBundleFormatVersion + 1, ~0u}) {
    std::memcpy(bytes.data() + 8, &version, sizeof version);
    ExpectRefused(bytes, "it has another format version");
  }
  EXPECT_THROW(BundleReader{dir_.string()}, Error) << "a folder";
  EXPECT_THROW(BundleReader{dir_ / "none"}, Error);
}

TEST_F(BundleFormat, AnEntryUnderAnotherKeyIsBroken) {
  const std::string entry = EncodeEntry(KeyOf("f"), MakeArtifact("f", random_)).value();
  WriteFile(path_, Forge(entry, Row(KeyOf("g").digest, entry.size()), 1));
  const BundleReader reader(path_);
  EXPECT_EQ(reader.Read(reader.rows().front()).reason, "it belongs to another key");
}

}  // namespace
}  // namespace gemmsmith
