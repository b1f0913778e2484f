#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace gemmsmith::emulator {

/// What printf writes for `format`. `read(offset, bytes)` reads from the list of values, in which each is aligned to
/// its size; `text(address)` reads a string. `count` becomes the number of values, which is what the device's printf
/// returns.
std::string FormatPrint(std::string_view format, const std::function<std::uint64_t(std::uint64_t, unsigned)>& read,
                        const std::function<std::string(std::uint64_t)>& text, int& count);

}  // namespace gemmsmith::emulator
