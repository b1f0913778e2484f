#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gemmsmith::results {

/// One frame of zstd, with a checksum.
std::string Compress(std::string_view text);
/// Whether it begins like one.
bool IsCompressed(std::string_view bytes);
/// What it was made of, with room for the parser's padding behind it. Empty where it is no whole frame, or says that it
/// holds more than `most` bytes.
std::optional<std::string> Decompress(std::string_view bytes, std::size_t most);

}  // namespace gemmsmith::results
