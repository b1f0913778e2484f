#include "runtime/emulator/ptx/instruction_parser.h"

namespace gemmsmith::emulator::ptx {
namespace {

constexpr int kMaxDepth = 4;                // Of operands within operands: (..., {...}).
constexpr std::size_t kMaxOperands = 1024;  // Of one instruction, and of one list.

Operand ParseOperand(TokenReader& tokens, int depth);

void ParseList(TokenReader& tokens, char close, int depth, std::vector<Operand>& parts) {
  if (tokens.Accept(close)) return;
  do {
    if (parts.size() >= kMaxOperands) tokens.Fail("fewer operands");
    parts.push_back(ParseOperand(tokens, depth + 1));
  } while (tokens.Accept(','));
  tokens.Expect(close);
}

/// %tid and %tid.x, smem and smem+4; "%r1.x" selects from vector registers, which no compiler writes any more.
void ParseNamed(TokenReader& tokens, Operand& operand) {
  operand.kind = Operand::Kind::kName;
  operand.name = tokens.Take().text;
  if (operand.name == "WARP_SZ") {
    operand.kind = Operand::Kind::kInteger;
    operand.bits = 32;
    return;
  }
  if (operand.name[0] == '%' && tokens.Peek().kind == TokenKind::kDotted) operand.name += tokens.Take().text;
}

/// +4, -4, +-4, + 0x10. What is added is kept in `offset`.
void ParseOffset(TokenReader& tokens, Operand& operand) {
  while (tokens.Peek().Is('+') || tokens.Peek().Is('-')) {
    bool minus = tokens.Take().Is('-');
    if (tokens.Accept('-')) minus = !minus;
    const std::uint64_t value = tokens.ExpectInteger("an offset", ~std::uint64_t{0});
    const std::uint64_t sum = static_cast<std::uint64_t>(operand.offset) + (minus ? 0 - value : value);
    operand.offset = static_cast<std::int64_t>(sum);
  }
}

void ParseNumber(TokenReader& tokens, Operand& operand) {
  const bool minus = tokens.Accept('-');
  const bool complement = !minus && tokens.Accept('~');
  const Token& token = tokens.Peek();
  switch (token.kind) {
    case TokenKind::kInteger:
      operand.kind = Operand::Kind::kInteger;
      operand.bits = minus ? 0 - token.bits : complement ? ~token.bits : token.bits;
      break;
    case TokenKind::kFloat32:
      if (complement) tokens.Fail("an integer");
      operand.kind = Operand::Kind::kFloat32;
      operand.bits = token.bits ^ (minus ? 0x80000000u : 0u);
      break;
    case TokenKind::kFloat64:
      if (complement) tokens.Fail("an integer");
      operand.kind = Operand::Kind::kFloat64;
      operand.bits = token.bits ^ (minus ? std::uint64_t{1} << 63 : 0);
      break;
    default:
      tokens.Fail("an operand");
  }
  tokens.Take();
}

void ParseAddress(TokenReader& tokens, Operand& operand, int depth) {
  operand.kind = Operand::Kind::kAddress;
  if (tokens.Peek().kind == TokenKind::kName)
    operand.name = tokens.Take().text;
  else if (tokens.Peek().kind == TokenKind::kInteger)
    operand.bits = tokens.Take().bits;
  else
    tokens.Fail("an address");
  ParseOffset(tokens, operand);
  if (tokens.Accept(','))
    ParseList(tokens, ']', depth, operand.parts);
  else
    tokens.Expect(']');
}

Operand ParseSingle(TokenReader& tokens, int depth) {
  if (depth > kMaxDepth) tokens.Fail("operands nested less deeply");
  Operand operand;
  operand.at = tokens.Peek().at;
  if (tokens.Accept('!')) operand.negated = true;
  if (tokens.Accept('{')) {
    operand.kind = Operand::Kind::kVector;
    ParseList(tokens, '}', depth, operand.parts);
  } else if (tokens.Accept('(')) {
    operand.kind = Operand::Kind::kList;
    ParseList(tokens, ')', depth, operand.parts);
  } else if (tokens.Accept('[')) {
    ParseAddress(tokens, operand, depth);
  } else if (tokens.Peek().Is("_")) {
    tokens.Take();
    operand.kind = Operand::Kind::kSink;
  } else if (tokens.Peek().kind == TokenKind::kName) {
    ParseNamed(tokens, operand);
    ParseOffset(tokens, operand);
    if (tokens.Peek().Is('[')) {  // symbol[4] is [symbol+4]
      tokens.Take();
      operand.kind = Operand::Kind::kAddress;
      operand.offset += static_cast<std::int64_t>(tokens.ExpectInteger("an offset", 0xffffffff));
      tokens.Expect(']');
    }
  } else {
    ParseNumber(tokens, operand);
  }
  return operand;
}

Operand ParseOperand(TokenReader& tokens, int depth) {
  Operand operand = ParseSingle(tokens, depth);
  if (!tokens.Peek().Is('|')) return operand;
  Operand pair;
  pair.kind = Operand::Kind::kPair;
  pair.at = operand.at;
  tokens.Take();
  pair.parts.push_back(std::move(operand));
  pair.parts.push_back(ParseSingle(tokens, depth + 1));
  return pair;
}

/// With runs of blanks as one.
std::string Folded(std::string_view text) {
  std::string folded;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank)
      folded += c;
    else if (!folded.empty() && folded.back() != ' ')
      folded += ' ';
  }
  return folded;
}

}  // namespace

Instruction ParseInstruction(TokenReader& tokens) {
  Instruction instruction;
  instruction.at = tokens.Peek().at;
  const std::size_t begin = tokens.mark();
  if (tokens.Accept('@')) {
    instruction.guard_negated = tokens.Accept('!');
    instruction.guard = tokens.ExpectName("a predicate");
  }
  instruction.mnemonic = tokens.ExpectName("an instruction");
  while (tokens.Peek().kind == TokenKind::kDotted) instruction.modifiers.emplace_back(tokens.Take().text.substr(1));
  if (!tokens.Peek().Is(';')) {
    do {
      if (instruction.operands.size() >= kMaxOperands) tokens.Fail("fewer operands");
      instruction.operands.push_back(ParseOperand(tokens, 0));
    } while (tokens.Accept(','));
  }
  if (!tokens.Accept(';')) tokens.Fail("',' or ';'");
  instruction.text = Folded(tokens.TextSince(begin));
  return instruction;
}

}  // namespace gemmsmith::emulator::ptx
