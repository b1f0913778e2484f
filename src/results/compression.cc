#include "results/compression.h"

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <new>

#include "results/document.h"

namespace gemmsmith::results {
namespace {

// Documents become a tenth of their size by the fastest levels; what the slow ones add is small.
constexpr int kLevel = 3;
constexpr std::size_t kPart = 1 << 20;

struct Deleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

std::string Compress(std::string_view text) {
  const std::unique_ptr<ZSTD_CCtx, Deleter> context(ZSTD_createCCtx());
  std::string frame(ZSTD_compressBound(text.size()), '\0');
  if (!context) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  const std::size_t size = ZSTD_compress2(context.get(), frame.data(), frame.size(), text.data(), text.size());
  if (ZSTD_isError(size) != 0) throw std::bad_alloc();  // With room for the worst case, nothing else can fail.
  frame.resize(size);
  return frame;
}

bool IsCompressed(std::string_view bytes) { return bytes.starts_with("\x28\xb5\x2f\xfd"); }

std::optional<std::string> Decompress(std::string_view bytes, std::size_t most) {
  // A frame may claim any size: memory grows with what really comes out.
  const unsigned long long claimed = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (claimed == ZSTD_CONTENTSIZE_UNKNOWN || claimed == ZSTD_CONTENTSIZE_ERROR || claimed > most) return std::nullopt;
  const std::unique_ptr<ZSTD_DCtx, Deleter> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  std::string text;
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (std::size_t left = 1; left != 0;) {
    const std::size_t filled = text.size();
    text.resize(std::min<std::size_t>(claimed, filled + std::max(kPart, filled)));
    ZSTD_outBuffer out{text.data(), text.size(), filled};
    left = ZSTD_decompressStream(context.get(), &out, &in);
    const bool stuck = left != 0 && out.pos == filled;  // It is cut off, or holds more than it says.
    if (ZSTD_isError(left) != 0 || stuck) return std::nullopt;
    text.resize(out.pos);
  }
  if (in.pos != in.size || text.size() != claimed) return std::nullopt;
  text.reserve(text.size() + kPadding);
  return text;
}

}  // namespace gemmsmith::results
