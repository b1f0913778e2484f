#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/error.h"

namespace gemmsmith::emulator::ptx {

/// Where in the PTX text; both count from 1.
struct Position {
  int line = 1, column = 1;
};

enum class TokenKind : std::uint8_t {
  kEnd,
  kName,       ///< add, %r1, $L__BB0_2, WARP_SZ
  kDotted,     ///< .f32, .shared::cta; the text has the dot
  kInteger,    ///< 12, 0x1F, 017, 0b101, 3U
  kFloat32,    ///< 0f3F800000; `bits` are the value's
  kFloat64,    ///< 0d3FF0000000000000, 1.5; `bits` are the value's
  kString,     ///< "..."; the text has no quotes
  kCharacter,  ///< any other single character
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string_view text;
  std::uint64_t bits = 0;
  Position at;

  bool Is(char character) const { return kind == TokenKind::kCharacter && text[0] == character; }
  bool Is(std::string_view name) const {
    return (kind == TokenKind::kName || kind == TokenKind::kDotted) && text == name;
  }
};

/// Cuts `text` into tokens, without blanks and comments; the last is kEnd. The tokens point into `text`.
/// Throws kInvalidArgument with line and column for what is no token.
std::vector<Token> Lex(std::string_view text);

/// "ptx:12:3: expected a register, found ';'". Every error of the front end is made here.
Error ExpectationError(Position at, std::string_view expected, std::string_view found);

}  // namespace gemmsmith::emulator::ptx
