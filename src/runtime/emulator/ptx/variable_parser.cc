#include "runtime/emulator/ptx/variable_parser.h"

#include <algorithm>
#include <bit>

namespace gemmsmith::emulator::ptx {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 32;
constexpr std::size_t kMaxInitialisers = std::size_t{1} << 24;
constexpr int kMaxDepth = 8;

/// .align 8 .ptr .global .attribute(.managed) .v2, in any order that compilers write.
std::uint32_t ParseAttributes(TokenReader& tokens, Variable& variable) {
  std::uint32_t lanes = 1;
  for (;;) {
    if (tokens.Accept(".align")) {
      variable.alignment = static_cast<std::uint32_t>(tokens.ExpectInteger("an alignment", 1 << 20));
      if (!std::has_single_bit(variable.alignment)) tokens.Fail("a type behind an alignment that is a power of two");
    } else if (tokens.Accept(".attribute")) {
      tokens.Expect('(');
      while (!tokens.Accept(')')) {
        if (tokens.Peek().kind == TokenKind::kEnd) tokens.Fail("')'");
        tokens.Take();
      }
    } else if (tokens.Accept(".v2")) {
      lanes = 2;
    } else if (tokens.Accept(".v4")) {
      lanes = 4;
    } else {
      return lanes;
    }
  }
}

/// Of kernel parameters: .ptr .global .align 16. It says of the pointer's target what nothing here needs.
void SkipPointerAttributes(TokenReader& tokens) {
  if (!tokens.Accept(".ptr")) return;
  AcceptSpace(tokens);
  if (tokens.Accept(".align")) tokens.ExpectInteger("an alignment", 1 << 20);
}

Initialiser ParseValue(TokenReader& tokens, int depth) {
  if (depth > kMaxDepth) tokens.Fail("a simpler value");
  Initialiser value;
  const bool minus = tokens.Accept('-');
  const Token& token = tokens.Peek();
  if (token.kind == TokenKind::kInteger || token.kind == TokenKind::kFloat32 || token.kind == TokenKind::kFloat64) {
    value.kind = token.kind;
    value.bits = token.bits;
    if (minus && token.kind == TokenKind::kInteger) value.bits = 0 - token.bits;
    if (minus && token.kind == TokenKind::kFloat32) value.bits ^= 0x80000000u;
    if (minus && token.kind == TokenKind::kFloat64) value.bits ^= std::uint64_t{1} << 63;
    tokens.Take();
  } else if (minus) {
    tokens.Fail("a number");
  } else if (token.Is("generic") && tokens.Peek(1).Is('(')) {
    tokens.Take();
    tokens.Take();
    value = ParseValue(tokens, depth + 1);
    value.generic = true;
    tokens.Expect(')');
  } else if (token.Is("mask") && tokens.Peek(1).Is('(')) {
    tokens.Take();
    tokens.Take();
    const std::uint64_t mask = tokens.ExpectInteger("a mask such as 0xff00", ~std::uint64_t{0});
    const int shift = mask == 0 ? 0 : std::countr_zero(mask);
    if (shift % 8 != 0 || mask >> shift != 0xff) tokens.Fail("a value behind a mask of one byte");
    tokens.Expect(',');
    value = ParseValue(tokens, depth + 1);
    value.mask_shift = shift;
    tokens.Expect(')');
  } else {
    value.symbol = tokens.ExpectName("a value");
    value.bits = 0;
  }
  if (!value.symbol.empty() && (tokens.Peek().Is('+') || tokens.Peek().Is('-'))) {
    const bool subtract = tokens.Take().Is('-');
    const std::uint64_t offset = tokens.ExpectInteger("an offset", kMaxBytes);
    value.bits += subtract ? 0 - offset : offset;
  }
  return value;
}

/// Braces of inner dimensions are left out: the values follow each other all the same.
void ParseInitialisers(TokenReader& tokens, int depth, std::vector<Initialiser>& values) {
  if (depth > kMaxDepth) tokens.Fail("fewer nested braces");
  if (!tokens.Accept('{')) {
    if (values.size() >= kMaxInitialisers) tokens.Fail("fewer values");
    values.push_back(ParseValue(tokens, 0));
    return;
  }
  if (tokens.Accept('}')) return;
  do ParseInitialisers(tokens, depth + 1, values);
  while (tokens.Accept(','));
  tokens.Expect('}');
}

/// [4][8] -> 32; [] -> 0, its length to be told by the initialiser.
std::uint64_t ParseExtents(TokenReader& tokens) {
  std::uint64_t count = 1;
  while (tokens.Accept('[')) {
    if (tokens.Accept(']')) {
      count = 0;
      continue;
    }
    const std::uint64_t extent = tokens.ExpectInteger("an extent", kMaxBytes);
    if (extent != 0 && count > kMaxBytes / extent) tokens.Fail("an array of at most 4 GiB");
    count *= extent;
    tokens.Expect(']');
  }
  return count;
}

}  // namespace

std::optional<StateSpace> AcceptSpace(TokenReader& tokens) {
  static constexpr struct {
    std::string_view name;
    StateSpace space;
  } kSpaces[] = {{".global", StateSpace::kGlobal},      {".shared", StateSpace::kShared},
                 {".shared::cta", StateSpace::kShared}, {".local", StateSpace::kLocal},
                 {".const", StateSpace::kConst},        {".param", StateSpace::kParam},
                 {".reg", StateSpace::kRegister}};
  for (const auto& row : kSpaces)
    if (tokens.Accept(row.name)) return row.space;
  return std::nullopt;
}

ScalarType ParseType(TokenReader& tokens) {
  if (tokens.Peek().kind == TokenKind::kDotted) {
    if (const auto type = ParseScalarType(tokens.Peek().text.substr(1))) {
      tokens.Take();
      return *type;
    }
  }
  tokens.Fail("a type");
}

Variable ParseVariable(TokenReader& tokens, StateSpace space, bool external) {
  Variable variable;
  variable.space = space;
  variable.external = external;
  const std::uint32_t lanes = ParseAttributes(tokens, variable);
  variable.type = ParseType(tokens);
  const auto element = static_cast<std::uint32_t>(std::max(1, Bits(variable.type) / 8)) * lanes;
  variable.alignment = std::max(variable.alignment, space == StateSpace::kRegister ? 1 : element);
  SkipPointerAttributes(tokens);
  ParseAttributes(tokens, variable);
  variable.at = tokens.Peek().at;
  variable.name = tokens.ExpectName("a name");
  const std::uint64_t count = ParseExtents(tokens);
  if (tokens.Accept('=')) ParseInitialisers(tokens, 0, variable.initialisers);
  if (count > kMaxBytes / element) tokens.Fail("an array of at most 4 GiB");
  const std::uint64_t given = (variable.initialisers.size() + lanes - 1) / lanes;
  if (count != 0 && given > count) tokens.Fail("no more values than elements");
  variable.bytes = element * (count == 0 ? given : count);
  return variable;
}

}  // namespace gemmsmith::emulator::ptx
