#include "runtime/emulator/isa/print.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>

namespace gemmsmith::emulator {
namespace {

/// One conversion of a format: "%-08.3llx".
struct Conversion {
  std::string flags;   ///< With width and precision, and without length: "%-08.3".
  bool wide = false;   ///< Its integer has 64 bits.
  char letter = 0;     ///< 0: the format ends within it.
  std::string values;  ///< A '*' for each width or precision that is a value.
};

Conversion ReadConversion(std::string_view& format) {
  Conversion c;
  c.flags = "%";
  format.remove_prefix(1);
  while (!format.empty() && std::string_view("-+ #0123456789.*").find(format[0]) != std::string_view::npos) {
    if (format[0] == '*') c.values += '*';
    c.flags += format[0];
    format.remove_prefix(1);
  }
  while (!format.empty() && std::string_view("hljztL").find(format[0]) != std::string_view::npos) {
    c.wide = c.wide || format[0] == 'l' || format[0] == 'j' || format[0] == 'z' || format[0] == 't';
    format.remove_prefix(1);
  }
  if (!format.empty()) {
    c.letter = format[0];
    format.remove_prefix(1);
  }
  return c;
}

template <class Value>
std::string Print(const std::string& format, Value value) {
  std::array<char, 512> buffer{};
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
  const int length = std::snprintf(buffer.data(), buffer.size(), format.c_str(), value);
#pragma GCC diagnostic pop
  return {buffer.data(), std::min(buffer.size() - 1, static_cast<std::size_t>(std::max(0, length)))};
}

}  // namespace

std::string FormatPrint(std::string_view format, const std::function<std::uint64_t(std::uint64_t, unsigned)>& read,
                        const std::function<std::string(std::uint64_t)>& text, int& count) {
  std::string out;
  std::uint64_t offset = 0;
  count = 0;
  const auto next = [&](unsigned bytes) {
    offset = (offset + bytes - 1) / bytes * bytes;
    const std::uint64_t value = read(offset, bytes);
    offset += bytes;
    ++count;
    return value;
  };
  while (!format.empty()) {
    if (format[0] != '%') {
      out += format[0];
      format.remove_prefix(1);
      continue;
    }
    if (format.starts_with("%%")) {
      out += '%';
      format.remove_prefix(2);
      continue;
    }
    Conversion c = ReadConversion(format);
    for (std::size_t star = c.flags.find('*'); star != std::string::npos; star = c.flags.find('*'))
      c.flags.replace(star, 1, std::to_string(static_cast<std::int32_t>(next(4))));
    switch (c.letter) {
      case 'd':
      case 'i':
        out += c.wide ? Print(c.flags + "lld", static_cast<long long>(next(8)))
                      : Print(c.flags + "d", static_cast<int>(next(4)));
        break;
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        out += c.wide ? Print(c.flags + "ll" + c.letter, static_cast<unsigned long long>(next(8)))
                      : Print(c.flags + c.letter, static_cast<unsigned>(next(4)));
        break;
      case 'c':
        out += Print(c.flags + "c", static_cast<int>(next(4)));
        break;
      case 's':
        out += Print(c.flags + "s", text(next(8)).c_str());
        break;
      case 'p':
        out += Print(c.flags + "p", reinterpret_cast<void*>(next(8)));
        break;
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
      case 'a':
      case 'A':
        out += Print(c.flags + c.letter, std::bit_cast<double>(next(8)));
        break;
      default:
        out += c.flags;  // No conversion: written as it is.
        if (c.letter != 0) out += c.letter;
    }
  }
  return out;
}

}  // namespace gemmsmith::emulator
