// Signed bundles in the hands of somebody who can write them, with all checksums right, but has not the key.
#include <gmock/gmock.h>

#include <cstring>

#include "../support/bundle_testing.h"
#include "../support/trust_testing.h"
#include "gemmsmith/bundle.h"
#include "jit/cache/bundle_tier.h"
#include "jit/cache/disk_tier.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::Bundled;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::KeyOf;
using testing::MakeArtifact;
using testing::MakeBundle;
using testing::ReadFile;
using testing::WriteFile;

constexpr std::size_t kHeaderBytes = 12, kRowBytes = 104, kTailBytes = 40, kChecksumBytes = 32;

std::string BytesOf(const Digest& digest) {
  std::string bytes(16, 0);
  std::memcpy(bytes.data(), &digest.low, 8);
  std::memcpy(bytes.data() + 8, &digest.high, 8);
  return bytes;
}

/// The parts of a signed bundle, to be changed and put together again under right checksums.
struct Parts {
  std::string header;
  std::vector<std::string> entries, rows;
  std::string tail;

  explicit Parts(const std::string& path) {
    const std::string bytes = ReadFile(path);
    header = bytes.substr(0, kHeaderBytes);
    const BundleReader reader(path);
    const std::size_t tail_at = bytes.size() - kChecksumBytes - kTailBytes;
    const std::size_t index_at = tail_at - reader.rows().size() * kRowBytes;
    for (const BundleRow& row : reader.rows()) {
      rows.push_back(bytes.substr(index_at + rows.size() * kRowBytes, kRowBytes));
      entries.push_back(bytes.substr(row.offset, row.size));
    }
    tail = bytes.substr(tail_at, kTailBytes);
  }
  void Write(const std::string& path) {
    std::string index, file = header;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::uint64_t size = entries[i].size();
      std::memcpy(rows[i].data() + 32, &size, 8);
      index += rows[i];
      file += entries[i];
    }
    file += index + tail + BytesOf(DigestOf(header + index + tail));
    WriteFile(path, file + BytesOf(DigestOf(file)));
  }
  std::string Signature(std::size_t row) const { return rows[row].substr(40); }
  void SetSignature(std::size_t row, const std::string& signature) { rows[row].replace(40, 64, signature); }
};

class SignedBundle : public ::testing::Test {
 protected:
  SignedBundle() {
    std::ranges::sort(entries_, {}, [](const auto& entry) { return entry.key.digest; });
    MakeBundle(path_, entries_, {1, dir_ / "ours.key"});
  }
  std::vector<testing::BundleEntry> Entries() {
    std::vector<testing::BundleEntry> entries;
    for (const char* name : {"f", "g", "h"}) entries.push_back({KeyOf(name), MakeArtifact(name, random_)});
    return entries;
  }
  static CachePolicy Trusting(std::vector<std::string> signers) { return {.trusted_signers = std::move(signers)}; }
  /// Which of the entries are served.
  std::vector<int> Served(const CachePolicy& policy) {
    BundleTier tier({path_}, policy);
    std::vector<int> served;
    for (int round = 0; round < 2; ++round) {
      served.clear();
      for (std::size_t i = 0; i < entries_.size(); ++i) {
        const ArtifactPtr got = tier.Get(entries_[i].key);
        EXPECT_TRUE(got == nullptr || *got == Bundled(entries_[i].artifact)) << "never anything else";
        if (got != nullptr) served.push_back(static_cast<int>(i));
      }
    }
    return served;
  }
  std::size_t Imported(const std::vector<std::string>& signers) {
    const std::string cache = dir_ / ("cache" + std::to_string(++caches_));
    try {
      return ImportBundle(path_, cache, signers).kernels;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument) << error.what();
      EXPECT_FALSE(fs::exists(cache)) << "nothing of it was imported";
      return 0;
    }
  }

  testing::TempDir dir_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  int caches_ = 0;
  const std::string ours_ = MakeSigningKey(dir_ / "ours"), theirs_ = MakeSigningKey(dir_ / "theirs");
  const std::string path_ = dir_ / "kernels.gsb";
  std::vector<testing::BundleEntry> entries_ = Entries();
};

TEST_F(SignedBundle, ServesWhoeverTrustsItsSigner) {
  const testing::Warnings warnings;
  for (const std::vector<std::string>& signers :
       {std::vector<std::string>{}, {ours_}, {theirs_, ours_}, {dir_ / "ours.pub"}})
    EXPECT_THAT(Served(Trusting(signers)), ElementsAre(0, 1, 2));
  EXPECT_THAT(warnings.messages(), IsEmpty());
  for (const BundleKernel& kernel : ReadBundle(path_, {ours_})) EXPECT_EQ(kernel.signer, ours_);
  EXPECT_EQ(Imported({ours_}), 3u);
  EXPECT_EQ(Imported({}), 3u);
}

TEST_F(SignedBundle, IsTheSameFileEachTime) {
  const std::string first = ReadFile(path_);
  MakeBundle(path_, entries_, {1, dir_ / "ours.key"});
  EXPECT_EQ(ReadFile(path_), first);
  MakeBundle(path_, entries_, {1, dir_ / "theirs.key"});
  EXPECT_NE(ReadFile(path_), first);
}

TEST_F(SignedBundle, WithoutATrustedSignerIsLeftOutWithOneWarning) {
  struct Case {
    const char* key;
    std::vector<std::string> signers;
    const char* reason;
  };
  const Case cases[] = {{"", {ours_}, "it is not signed"},
                        {"theirs.key", {ours_}, "whom nobody here trusts"},
                        {"ours.key", {std::string(64, '0')}, "whom nobody here trusts"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.reason);
    MakeBundle(path_, entries_, {1, *c.key == 0 ? "" : (dir_ / c.key).string()});
    const testing::Warnings warnings;
    EXPECT_THAT(Served(Trusting(c.signers)), IsEmpty());
    EXPECT_THAT(warnings.messages(), ElementsAre(AllOf(HasSubstr(path_), HasSubstr(c.reason))));
    EXPECT_EQ(Imported(c.signers), 0u);
    EXPECT_THROW(ReadBundle(path_, c.signers), Error);
    EXPECT_THAT(Served({}), ElementsAre(0, 1, 2)) << "where nobody asks";
    EXPECT_EQ(ReadBundle(path_).front().signer.empty(), *c.key == 0);
  }
}

TEST_F(SignedBundle, AKeyThatIsNoneTrustsNobodyAndTheDemandStays) {
  WriteFile(dir_ / "bad.pub", "no key");
  fs::copy(dir_ / "ours.pub", dir_ / "open.pub");
  testing::SetMode(dir_ / "open.pub", 0666);
  for (const std::string& signer :
       {std::string(), std::string("x"), ours_.substr(1), (dir_ / "none.pub").string(), (dir_ / "bad.pub").string(),
        (dir_ / "open.pub").string(), (dir_ / "ours.key").string()}) {
    const testing::Warnings warnings;
    EXPECT_THAT(Served(Trusting({signer})), IsEmpty()) << signer;
    EXPECT_THAT(warnings.messages(), ElementsAre(HasSubstr("signer"), HasSubstr("going on without it"))) << signer;
    EXPECT_THAT(Served({.allow_shared_directory = true, .trusted_signers = {signer}}), IsEmpty()) << signer;
    EXPECT_THAT(Served(Trusting({signer, ours_})), ElementsAre(0, 1, 2)) << signer;
    EXPECT_THROW(ImportBundle(path_, dir_ / "cache", {signer}), Error) << signer;
    EXPECT_FALSE(fs::exists(dir_ / "cache"));
  }
}

TEST_F(SignedBundle, WhatTheKeyDidNotSignIsNotServed) {
  struct Attack {
    const char* name;
    std::function<void(Parts&)> make;
    std::vector<int> served;
  };
  const Parts pristine(path_);
  MakeBundle(path_, entries_, {1, dir_ / "theirs.key"});
  const Parts theirs(path_);
  std::vector<testing::BundleEntry> changed = entries_;
  changed[0].artifact.parts["cubin"] += "evil";
  MakeBundle(path_, changed, {1, ""});
  const BundleReader unsigned_bundle(path_);
  const BundleRow& row = unsigned_bundle.rows()[0];
  const std::string evil = ReadFile(path_).substr(row.offset, row.size);
  const Attack attacks[] = {
      {"nothing", [](Parts&) {}, {0, 1, 2}},
      {"other code under the same key", [&](Parts& p) { p.entries[0] = evil; }, {1, 2}},
      {"a byte of an entry", [&](Parts& p) { p.entries[1][random_.Below(300)] ^= 1; }, {0, 2}},
      {"a byte of a signature", [&](Parts& p) { p.rows[2][40 + random_.Below(64)] ^= 1; }, {0, 1}},
      {"a signature of another entry", [](Parts& p) { p.SetSignature(0, p.Signature(1)); }, {1, 2}},
      {"two signatures swapped",
       [](Parts& p) {
         const std::string first = p.Signature(0);
         p.SetSignature(0, p.Signature(1));
         p.SetSignature(1, first);
       },
       {2}},
      {"two entries swapped", [](Parts& p) { std::swap(p.entries[0], p.entries[1]); }, {2}},
      {"two entries swapped with their signatures",
       [](Parts& p) {
         std::swap(p.entries[0], p.entries[1]);
         const std::string first = p.Signature(0);
         p.SetSignature(0, p.Signature(1));
         p.SetSignature(1, first);
       },
       {2}},
      {"their signatures under our name", [&](Parts& p) { p.rows = theirs.rows; }, {}},
      {"their name over our signatures", [&](Parts& p) { p.tail = theirs.tail; }, {}},
      {"no signature", [](Parts& p) { p.SetSignature(1, std::string(64, 0)); }, {0, 2}},
      {"an entry removed",
       [](Parts& p) {
         p.entries.erase(p.entries.begin());
         p.rows.erase(p.rows.begin());
         p.tail[32] = 2;
       },
       {1, 2}},
  };
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    Parts parts = pristine;
    attack.make(parts);
    parts.Write(path_);
    const testing::Warnings warnings;
    EXPECT_EQ(Served(Trusting({ours_})), attack.served);
    const bool is_whole = attack.served.size() == parts.rows.size();
    EXPECT_EQ(warnings.messages().size(), is_whole ? 0u : 1u);
    EXPECT_EQ(Imported({ours_}), is_whole ? parts.rows.size() : 0u);
    if (is_whole) continue;
    EXPECT_THROW(ReadBundle(path_), Error) << "found even where nobody asks for a signer";
  }
}

TEST_F(SignedBundle, ASignatureOfSomethingElseIsNone) {
  Parts parts(path_);
  const SigningKey key(dir_ / "ours.key");
  const Signature of_bytes_alone = key.Sign(parts.entries[0]);
  parts.SetSignature(0, {reinterpret_cast<const char*>(of_bytes_alone.bytes.data()), of_bytes_alone.bytes.size()});
  parts.Write(path_);
  const testing::Warnings warnings;
  EXPECT_THAT(Served(Trusting({ours_})), ElementsAre(1, 2));
}

TEST_F(SignedBundle, AFlippedBitAnywhereIsNeverServed) {
  const std::string bytes = ReadFile(path_);
  const testing::Warnings warnings;
  for (std::size_t byte = 0; byte < bytes.size(); byte += 1 + random_.Below(8)) {
    std::string flipped = bytes;
    flipped[byte] ^= static_cast<char>(1 << random_.Below(8));
    WriteFile(path_, flipped);
    ASSERT_LT(Served(Trusting({ours_})).size(), byte + 16 < bytes.size() ? 3u : 4u) << byte;  // The rest: of the whole.
    ASSERT_THROW(ReadBundle(path_), Error) << byte;
  }
}

TEST_F(SignedBundle, ATruncatedOneIsRefused) {
  const std::string bytes = ReadFile(path_);
  const testing::Warnings warnings;
  for (std::size_t size = 0; size < bytes.size(); size += 1 + random_.Below(8)) {
    WriteFile(path_, bytes.substr(0, size));
    ASSERT_THAT(Served(Trusting({ours_})), IsEmpty()) << size;
  }
}

TEST_F(SignedBundle, ABundleInADangerousPlaceIsRefusedWhoeverSignedIt) {
  const fs::path folder = dir_ / "folder", file = folder / "kernels.gsb";
  fs::create_directory(folder);
  fs::rename(path_, file);
  fs::create_symlink(file, path_);
  struct Case {
    const char* reason;
    bool needs_root;
    std::function<void()> make, mend;
  };
  const Case cases[] = {
      {"other users may write", false, [&] { testing::SetMode(file, 0664); }, [&] { testing::SetMode(file, 0644); }},
      {"other users may write", false, [&] { testing::SetMode(folder, 0777); },
       [&] { testing::SetMode(folder, 0755); }},
      {"belongs to user", true, [&] { testing::GiveAway(file); }, [&] { EXPECT_EQ(chown(file.c_str(), 0, 0), 0); }},
      {"the link", true, [&] { testing::GiveAway(path_); }, [&] { EXPECT_EQ(lchown(path_.c_str(), 0, 0), 0); }},
  };
  for (const Case& c : cases) {
    if (c.needs_root && !testing::CanGiveAway()) continue;
    SCOPED_TRACE(c.reason);
    c.make();
    const testing::Warnings warnings;
    EXPECT_THAT(Served(Trusting({ours_})), IsEmpty());
    EXPECT_THAT(warnings.messages(), ElementsAre(HasSubstr(c.reason)));
    EXPECT_THAT(Served({.allow_shared_directory = true}), ElementsAre(0, 1, 2));
    c.mend();
    EXPECT_THAT(Served(Trusting({ours_})), ElementsAre(0, 1, 2));
  }
}

}  // namespace
}  // namespace gemmsmith
