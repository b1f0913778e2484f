#include "util/signature.h"

#include <gtest/gtest.h>

#include "../support/trust_testing.h"

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using testing::ReadFile;
using testing::WriteFile;

class Signing : public ::testing::Test {
 protected:
  int ModeOf(const fs::path& path) const {
    struct stat info {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }

  testing::TempDir dir_;
  testing::Random random_;
  ::testing::ScopedTrace trace_{__FILE__, __LINE__, random_.trace()};
  const std::string name_ = dir_ / "name";
};

TEST_F(Signing, AKeyIsTwoFilesOfWhichOneIsSecret) {
  const PublicKey key = MakeSigningKeyFiles(name_);
  EXPECT_EQ(ModeOf(name_ + ".key"), 0600);
  EXPECT_EQ(ReadFile(name_ + ".pub"), key.Hex() + "\n");
  EXPECT_EQ(ReadPublicKey(name_ + ".pub"), key);
  EXPECT_EQ(SigningKey(name_ + ".key").public_key(), key);
  EXPECT_EQ(ParsePublicKey(key.Hex()), key);
  EXPECT_NE(MakeSigningKeyFiles(dir_ / "other"), key);
}

TEST_F(Signing, NoKeyIsOverwritten) {
  for (const char* there : {".key", ".pub"}) {
    const std::string name = dir_ / (std::string("old") + there);
    WriteFile(name + there, "mine");
    EXPECT_THROW(MakeSigningKeyFiles(name), Error);
    EXPECT_EQ(ReadFile(name + there), "mine");
    EXPECT_EQ(fs::exists(name + ".key") + fs::exists(name + ".pub"), 1) << "nothing half made is left";
  }
  EXPECT_THROW(MakeSigningKeyFiles(dir_ / "none/name"), Error);
}

TEST_F(Signing, ASignatureHoldsForItsMessageAndKeyAlone) {
  MakeSigningKeyFiles(name_);
  const SigningKey key(name_ + ".key");
  const PublicKey other = MakeSigningKeyFiles(dir_ / "other");
  for (const std::size_t size : {0u, 1u, 1000u}) {
    const std::string message = random_.Bytes(size);
    const Signature signature = key.Sign(message);
    EXPECT_EQ(signature.bytes, key.Sign(message).bytes) << "the same each time";
    EXPECT_TRUE(IsSignedBy(key.public_key(), message, signature));
    EXPECT_FALSE(IsSignedBy(other, message, signature));
    EXPECT_FALSE(IsSignedBy(key.public_key(), message + "x", signature));
    for (std::size_t byte = 0; byte < signature.bytes.size(); ++byte) {
      Signature flipped = signature;
      flipped.bytes[byte] ^= static_cast<unsigned char>(1 << random_.Below(8));
      EXPECT_FALSE(IsSignedBy(key.public_key(), message, flipped)) << byte;
    }
  }
  EXPECT_FALSE(IsSignedBy(PublicKey(), "", Signature())) << "nobody has signed nothing";
}

// RFC 8032, section 7.1, test 2.
TEST_F(Signing, IsEd25519) {
  WriteFile(name_, "gemmsmith-secret-key:4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\n");
  testing::SetMode(name_, 0600);
  const SigningKey key(name_);
  EXPECT_EQ(key.public_key().Hex(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const Signature signature = key.Sign("\x72");
  EXPECT_EQ(signature.bytes[0], 0x92);
  EXPECT_EQ(signature.bytes[63], 0x00);
  EXPECT_EQ(signature.bytes[62], 0x0c);
}

TEST_F(Signing, ASecretThatOthersCanReadIsRefused) {
  MakeSigningKeyFiles(name_);
  for (const mode_t mode : {0640, 0604, 0620, 0601}) {
    testing::SetMode(name_ + ".key", mode);
    EXPECT_THROW(SigningKey(name_ + ".key"), Error) << mode;
  }
  testing::SetMode(name_ + ".key", 0400);
  SigningKey(name_ + ".key");
  if (!testing::CanGiveAway()) GTEST_SKIP() << testing::kCannotGiveAway;
  testing::GiveAway(name_ + ".key");
  EXPECT_THROW(SigningKey(name_ + ".key"), Error);
}

TEST_F(Signing, WhatIsNoKeyIsRefusedAndItsTextIsNotRepeated) {
  const std::string hex = MakeSigningKeyFiles(name_).Hex(), secret = ReadFile(name_ + ".key");
  const auto refused = [&](auto read, const std::string& text) {
    WriteFile(dir_ / "file", text);
    testing::SetMode(dir_ / "file", 0600);
    try {
      read(dir_ / "file");
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
      const std::string words = error.what();
      EXPECT_TRUE(text.size() < 8 || words.find(text.substr(text.size() / 2)) == words.npos) << words;
    }
  };
  for (const std::string& text : {std::string(), std::string("\n"), hex.substr(1), hex + hex, hex.substr(1) + "g",
                                  " " + hex.substr(1), hex.substr(0, 62) + ":0", secret})
    refused([](const std::string& file) { ReadPublicKey(file); }, text);
  for (const std::string& text : {std::string(), hex, hex + "\n", secret.substr(0, secret.size() - 2),
                                  secret.substr(0, secret.size() - 2) + "x\n", std::string(200, 'a')})
    refused([](const std::string& file) { SigningKey key(file); }, text);
  for (const std::string& text : {hex.substr(1), hex + "0", hex.substr(1) + "g", std::string()})
    EXPECT_FALSE(ParsePublicKey(text)) << text;
  EXPECT_THROW(ReadPublicKey(dir_ / "none"), Error);
  EXPECT_THROW(SigningKey{dir_ / "none"}, Error);
  EXPECT_THROW(ReadPublicKey(dir_.string()), Error);
  EXPECT_THROW(SigningKey{dir_.string()}, Error);
}

}  // namespace
}  // namespace gemmsmith
