#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace gemmsmith {

/// Ed25519: the same key and message make the same signature.

struct PublicKey {
  std::array<unsigned char, 32> bytes{};

  std::string Hex() const;
  friend bool operator==(const PublicKey&, const PublicKey&) = default;
};
struct Signature {
  std::array<unsigned char, 64> bytes{};
};

/// Of 64 hexadecimal digits; empty for anything else.
std::optional<PublicKey> ParsePublicKey(std::string_view hex);
/// What MakeSigningKey wrote into a .pub file. Throws kIo, kInvalidArgument.
PublicKey ReadPublicKey(const std::string& file);
bool IsSignedBy(const PublicKey& signer, std::string_view message, const Signature& signature);

/// A secret key. Wiped from memory at the end of its life.
class SigningKey {
 public:
  /// Reads what MakeSigningKey wrote into a .key file. Throws kIo, and kInvalidArgument for what is no key, or not this
  /// user's secret.
  explicit SigningKey(const std::string& file);
  SigningKey(const SigningKey&) = delete;
  SigningKey& operator=(const SigningKey&) = delete;
  ~SigningKey();

  const PublicKey& public_key() const { return public_key_; }
  Signature Sign(std::string_view message) const;

 private:
  PublicKey public_key_;
  std::array<unsigned char, 64> secret_{};
};

/// A new key: the secret into `name`.key, for this user alone, the other half into `name`.pub. Throws kIo; what is
/// there already stays.
PublicKey MakeSigningKeyFiles(const std::string& name);

}  // namespace gemmsmith
