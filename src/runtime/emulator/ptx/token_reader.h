#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/emulator/ptx/token.h"

namespace gemmsmith::emulator::ptx {

/// Goes through the tokens of one text from front to back.
class TokenReader {
 public:
  explicit TokenReader(std::string_view text) : text_(text), tokens_(Lex(text)) {}

  const Token& Peek(std::size_t ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  /// Stays at the end once there.
  const Token& Take() {
    const Token& token = Peek();
    if (next_ + 1 < tokens_.size()) ++next_;
    return token;
  }
  template <class What>
  bool Accept(What what) {
    if (!Peek().Is(what)) return false;
    Take();
    return true;
  }
  void Expect(char character) {
    if (!Accept(character)) Fail(std::string("'") + character + "'");
  }
  std::string ExpectName(std::string_view what) {
    if (Peek().kind != TokenKind::kName) Fail(what);
    return std::string(Take().text);
  }
  std::uint64_t ExpectInteger(std::string_view what, std::uint64_t limit) {
    if (Peek().kind != TokenKind::kInteger || Peek().bits > limit) Fail(what);
    return Take().bits;
  }
  [[noreturn]] void Fail(std::string_view expected) const {
    throw ExpectationError(Peek().at, expected, Peek().kind == TokenKind::kEnd ? "the end" : Peek().text);
  }

  /// The text from the token `begin` to the last one taken, with blanks and comments between as they are.
  std::size_t mark() const { return next_; }
  std::string_view TextSince(std::size_t begin) const {
    const char* const first = tokens_[begin].text.data();
    const std::string_view last = tokens_[next_ - 1].text;
    return {first, static_cast<std::size_t>(last.data() + last.size() - first)};
  }

 private:
  std::string_view text_;
  std::vector<Token> tokens_;
  std::size_t next_ = 0;
};

}  // namespace gemmsmith::emulator::ptx
