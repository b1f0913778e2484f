#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace gemmsmith {

/// 128-bit XXH3 of bytes. Detects accidents and tells keys apart; no defence against an attacker.
struct Digest {
  std::uint64_t high = 0, low = 0;
  friend auto operator<=>(const Digest&, const Digest&) = default;
  /// 32 hexadecimal digits.
  std::string Hex() const;
};
Digest DigestOf(std::string_view bytes);
/// DigestOf of bytes that come piece by piece.
class DigestStream {
 public:
  DigestStream();
  ~DigestStream();
  void Update(std::string_view bytes);
  Digest Finish() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};
std::uint64_t Hash64(const void* data, std::size_t bytes);

}  // namespace gemmsmith
