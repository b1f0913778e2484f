#include <bit>
#include <cctype>
#include <cstdlib>

#include "runtime/emulator/ptx/token.h"
#include "util/log.h"

namespace gemmsmith::emulator::ptx {
namespace {

bool StartsName(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%'; }
bool ContinuesName(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// -1: no digit of any base.
int DigitValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> Run() {
    std::vector<Token> tokens;
    do tokens.push_back(Next());
    while (tokens.back().kind != TokenKind::kEnd);
    return tokens;
  }

 private:
  char Peek(std::size_t ahead = 0) const { return next_ + ahead < text_.size() ? text_[next_ + ahead] : '\0'; }

  void Advance() {
    if (text_[next_++] == '\n') {
      ++at_.line;
      at_.column = 1;
    } else {
      ++at_.column;
    }
  }

  void SkipBlanks() {
    while (next_ < text_.size()) {
      if (std::isspace(static_cast<unsigned char>(Peek())) != 0) {
        Advance();
      } else if (Peek() == '/' && Peek(1) == '/') {
        while (next_ < text_.size() && Peek() != '\n') Advance();
      } else if (Peek() == '/' && Peek(1) == '*') {
        SkipComment();
      } else {
        return;
      }
    }
  }

  void SkipComment() {
    const Position start = at_;
    Advance();
    Advance();
    while (Peek() != '*' || Peek(1) != '/') {
      if (next_ >= text_.size()) throw ExpectationError(start, "the end of the comment that begins here", "none");
      Advance();
    }
    Advance();
    Advance();
  }

  Token Next() {
    SkipBlanks();
    Token token;
    token.at = at_;
    const std::size_t begin = next_;
    if (next_ >= text_.size()) return token;
    const char c = Peek();
    if (StartsName(c)) {
      token.kind = TokenKind::kName;
      Advance();
      while (ContinuesName(Peek())) Advance();
    } else if (c == '.' && (ContinuesName(Peek(1)))) {
      token.kind = TokenKind::kDotted;
      ReadDotted();
    } else if (IsDigit(c)) {
      ReadNumber(token);
    } else if (c == '"') {
      return ReadString(token);
    } else {
      token.kind = TokenKind::kCharacter;
      Advance();
    }
    token.text = text_.substr(begin, next_ - begin);
    return token;
  }

  /// With "::" between names: .mbarrier::complete_tx::bytes.
  void ReadDotted() {
    Advance();
    while (ContinuesName(Peek()) || (Peek() == ':' && Peek(1) == ':' && ContinuesName(Peek(2)))) {
      if (Peek() == ':') Advance();
      Advance();
    }
  }

  Token ReadString(Token token) {
    Advance();
    const std::size_t begin = next_;
    while (Peek() != '"') {
      if (next_ >= text_.size() || Peek() == '\n') throw ExpectationError(token.at, "the closing quote", "none");
      Advance();
    }
    token.kind = TokenKind::kString;
    token.text = text_.substr(begin, next_ - begin);
    Advance();
    return token;
  }

  void ReadNumber(Token& token) {
    const char second = Peek(1);
    if (Peek() == '0' && (second == 'f' || second == 'F')) return ReadBits(token, TokenKind::kFloat32, 8);
    if (Peek() == '0' && (second == 'd' || second == 'D')) return ReadBits(token, TokenKind::kFloat64, 16);
    if (LooksDecimal()) return ReadDecimal(token);
    int base = 10;
    if (Peek() == '0' && (second == 'x' || second == 'X')) base = 16;
    if (Peek() == '0' && (second == 'b' || second == 'B')) base = 2;
    if (base != 10) {
      Advance();
      Advance();
      if (DigitValue(Peek()) < 0) throw ExpectationError(at_, "a digit", Found());
    } else if (Peek() == '0') {
      base = 8;
    }
    token.kind = TokenKind::kInteger;
    while (DigitValue(Peek()) >= 0) {
      const auto digit = static_cast<std::uint64_t>(DigitValue(Peek()));
      const auto wide_base = static_cast<std::uint64_t>(base);
      if (digit >= wide_base) throw ExpectationError(at_, fmt::format("a digit of base {}", base), Found());
      if (token.bits > (~std::uint64_t{0} - digit) / wide_base)
        throw ExpectationError(token.at, "an integer of at most 64 bits", "more");
      token.bits = token.bits * wide_base + digit;
      Advance();
    }
    if (Peek() == 'U') Advance();
    if (ContinuesName(Peek())) throw ExpectationError(at_, "the end of the number", Found());
  }

  void ReadBits(Token& token, TokenKind kind, int digits) {
    Advance();
    Advance();
    for (int i = 0; i < digits; ++i) {
      if (DigitValue(Peek()) < 0) throw ExpectationError(at_, fmt::format("{} hexadecimal digits", digits), Found());
      token.bits = token.bits * 16 + static_cast<std::uint64_t>(DigitValue(Peek()));
      Advance();
    }
    token.kind = kind;
    if (ContinuesName(Peek())) throw ExpectationError(at_, "the end of the number", Found());
  }

  /// 1.5, 1., 1e5, 1.5e-3, but not 9 of "9.u".
  bool LooksDecimal() const {
    std::size_t ahead = 0;
    while (IsDigit(Peek(ahead))) ++ahead;
    if (Peek(ahead) == '.') return !std::isalpha(static_cast<unsigned char>(Peek(ahead + 1)));
    return (Peek(ahead) == 'e' || Peek(ahead) == 'E') &&
           (IsDigit(Peek(ahead + 1)) || Peek(ahead + 1) == '-' || Peek(ahead + 1) == '+');
  }

  void ReadDecimal(Token& token) {
    const std::size_t begin = next_;
    while (IsDigit(Peek()) || Peek() == '.') Advance();
    if (Peek() == 'e' || Peek() == 'E') {
      Advance();
      if (Peek() == '-' || Peek() == '+') Advance();
      while (IsDigit(Peek())) Advance();
    }
    token.kind = TokenKind::kFloat64;
    token.bits =
        std::bit_cast<std::uint64_t>(std::strtod(std::string(text_.substr(begin, next_ - begin)).c_str(), nullptr));
  }

  std::string Found() const { return next_ < text_.size() ? std::string(1, Peek()) : "the end"; }

  std::string_view text_;
  std::size_t next_ = 0;
  Position at_;
};

/// Bytes of the text that would disturb a terminal, made visible.
std::string Printable(std::string_view text) {
  std::string out;
  for (const unsigned char c : text.substr(0, 60)) {
    if (c >= 32 && c < 127)
      out += static_cast<char>(c);
    else
      out += fmt::format("\\x{:02x}", c);
  }
  return out;
}

}  // namespace

std::vector<Token> Lex(std::string_view text) { return Lexer(text).Run(); }

Error ExpectationError(Position at, std::string_view expected, std::string_view found) {
  return Fail(Code::kInvalidArgument, "", "ptx:{}:{}: expected {}, found {}", at.line, at.column, expected,
              Printable(found));
}

}  // namespace gemmsmith::emulator::ptx
