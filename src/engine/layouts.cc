#include "gemmsmith/layouts.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <span>
#include <string_view>
#include <utility>

#include "gemmsmith/engine.h"
#include "kernels/cuda_gemm.h"
#include "kernels/layout_kernels.h"
#include "runtime/cpu/layout_loops.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using Kind = LayoutKernel::Kind;
constexpr std::int64_t kFactor = 128;  // elements that share a factor
constexpr std::int64_t kMostRows = std::numeric_limits<std::int32_t>::max();

std::int64_t BytesOf(DType dtype) { return static_cast<std::int64_t>(SizeOf(dtype)); }

/// "(2, 3, 4)".
std::string ShapeText(std::span<const std::int64_t> shape) { return fmt::format("({})", fmt::join(shape, ", ")); }
std::string ShapeText(const Tensor& t) { return ShapeText({t.shape.data(), t.rank}); }

/// A tensor of a call, by the name that errors give it.
struct Named {
  const char* operation;
  const char* name;
  const Tensor& tensor;
  bool output;

  template <class... Args>
  [[noreturn]] void Refuse(std::string_view remedy, fmt::format_string<Args...> format, Args&&... args) const {
    throw Fail(Code::kInvalidArgument, remedy, "{}: {} {}", operation, name,
               fmt::format(format, std::forward<Args>(args)...));
  }

  void ExpectShape(std::initializer_list<std::int64_t> shape) const {
    if (!std::ranges::equal(std::span(tensor.shape.data(), tensor.rank), shape))
      Refuse("", "is {}; {} is wanted", ShapeText(tensor), ShapeText({shape.begin(), shape.size()}));
  }
  void ExpectRank(int least, int most) const {
    if (tensor.rank < least || tensor.rank > most)
      Refuse("", "has rank {}; {} to {} is wanted", tensor.rank, least, most);
  }
  void ExpectType(std::initializer_list<DType> dtypes) const {
    if (std::ranges::find(dtypes, tensor.dtype) != dtypes.end()) return;
    std::string names;
    for (const DType dtype : dtypes) names += fmt::format("{}{}", names.empty() ? "" : " or ", ToString(dtype));
    Refuse("", "is {}; {} is wanted", ToString(tensor.dtype), names);
  }
  void ExpectUnitStride() const {
    const int last = tensor.rank - 1;
    if (tensor.shape[last] > 1 && tensor.strides[last] != 1)
      Refuse("copy it into a dense tensor", "has stride {} within rows; 1 is wanted", tensor.strides[last]);
  }
  /// Bytes from its first element to past its last, a bounding range.
  std::int64_t Span() const {
    std::int64_t last = 0;
    for (int i = 0; i < tensor.rank; ++i) last += (tensor.shape[i] - 1) * tensor.strides[i];
    return tensor.size() == 0 ? 0 : (last + 1) * BytesOf(tensor.dtype);
  }
};

void CheckOne(const Named& named, DeviceId device) {
  const Tensor& t = named.tensor;
  if (t.packed) named.Refuse("", "is packed by Engine::Pack; a plain tensor is wanted");
  if (t.device != device) named.Refuse("", "is on {}, not on {}", ToString(t.device), ToString(device));
  if (named.output && t.read_only) named.Refuse("", "is read-only");
  for (int i = 0; i < t.rank; ++i) {
    if (t.shape[i] < 0) named.Refuse("", "is {}", ShapeText(t));
    if (t.shape[i] > 1 && t.size() > 0 && (t.strides[i] < 0 || (named.output && t.strides[i] == 0)))
      named.Refuse("", "has stride {} along dimension {}", t.strides[i], i);
  }
  if (t.data == nullptr && t.size() > 0) named.Refuse("", "is a null pointer");
  if (reinterpret_cast<std::uintptr_t>(t.data) % SizeOf(t.dtype) != 0)
    named.Refuse("", "is not aligned to its {} bytes", SizeOf(t.dtype));
}

/// What no tensors of a call may be; the first one's device is that of all.
void Check(std::initializer_list<Named> all) {
  for (const Named& named : all) CheckOne(named, all.begin()->tensor.device);
  for (const Named& output : all)
    for (const Named& other : all) {
      const auto x = reinterpret_cast<std::uintptr_t>(output.tensor.data),
                 y = reinterpret_cast<std::uintptr_t>(other.tensor.data);
      if (&output != &other && output.output && x < y + static_cast<std::uintptr_t>(other.Span()) &&
          y < x + static_cast<std::uintptr_t>(output.Span()))
        output.Refuse("", "overlaps {}", other.name);
    }
}

/// The extent or stride of `t` along dimension `from_last` counted from the last; 1, or 0, where it has none.
std::int64_t Extent(const Tensor& t, int from_last) { return from_last < t.rank ? t.shape[t.rank - 1 - from_last] : 1; }
std::int64_t Stride(const Tensor& t, int from_last) {
  return from_last < t.rank ? t.strides[t.rank - 1 - from_last] : 0;
}
/// The same shape with others for its last two dimensions.
void ExpectLike(const Named& named, const Tensor& t, std::int64_t rows, std::int64_t columns) {
  if (t.rank == 3) return named.ExpectShape({t.shape[0], rows, columns});
  named.ExpectShape({rows, columns});
}

/// Whether all rows of `t` begin at multiples of so many bytes.
bool RowsAligned(const Tensor& t, std::int64_t bytes) {
  const std::int64_t size = BytesOf(t.dtype);
  const auto divides = [&](int from_last) {
    return Extent(t, from_last) <= 1 || Stride(t, from_last) * size % bytes == 0;
  };
  return reinterpret_cast<std::uintptr_t>(t.data) % static_cast<std::uintptr_t>(bytes) == 0 && divides(1) && divides(2);
}

WantedTensor Wanted(const Tensor& scales, std::int64_t gran_mn, std::int64_t mn, bool packed) {
  const char* const operation = packed ? "mn-major packed scales" : "mn-major scales";
  const Named named{operation, "scales", scales, false};
  named.ExpectRank(2, 3);
  const std::int64_t rows = Extent(scales, 1), steps = packed ? CeilDiv(Extent(scales, 0), 4) : Extent(scales, 0);
  if (gran_mn < 1 || (mn != 0 && CeilDiv(mn, gran_mn) != rows))
    throw Fail(Code::kInvalidArgument, "", "{}: {} rows of scales, each for {} rows, are not those of {} rows",
               operation, rows, gran_mn, mn);
  const std::int64_t lines = mn != 0 ? mn : rows * gran_mn, batch = scales.rank == 3 ? scales.shape[0] : 1;
  WantedTensor wanted;
  Tensor& t = wanted.tensor;
  t.dtype = packed ? DType::kS32 : DType::kF32;
  t.rank = scales.rank;
  t.device = scales.device;
  const std::int64_t ld = GetTmaAlignedSize(lines, t.dtype);
  t.shape = scales.rank == 3 ? std::array{batch, lines, steps} : std::array{lines, steps, std::int64_t{0}};
  t.strides =
      scales.rank == 3 ? std::array{steps * ld, std::int64_t{1}, ld} : std::array{std::int64_t{1}, ld, std::int64_t{0}};
  wanted.bytes = static_cast<std::size_t>(batch * steps * ld * BytesOf(t.dtype));
  return wanted;
}

}  // namespace

std::int64_t PaddedRows(std::int64_t rows, std::int64_t groups, std::int64_t alignment) {
  if (rows < 0 || groups < 0 || alignment < 1 || alignment > kMostRows)
    throw Fail(Code::kInvalidArgument, "", "padded rows: {} rows in {} groups aligned to {}", rows, groups, alignment);
  return (rows + std::min(rows, groups) * (alignment - 1)) / alignment * alignment;
}

WantedTensor MnMajorTmaAligned(const Tensor& scales, std::int64_t gran_mn, std::int64_t mn) {
  return Wanted(scales, gran_mn, mn, false);
}
WantedTensor MnMajorTmaAlignedPackedUe8m0(const Tensor& scales, std::int64_t gran_mn, std::int64_t mn) {
  return Wanted(scales, gran_mn, mn, true);
}

struct [[gnu::visibility("hidden")]] Layouts::State {
  explicit State(Engine & engine) : engine(engine) {}

  /// Starts `kernel`, one block of threads for each tile, or for several where there are very many.
  template <class Params>
  void Launch(const LayoutKernel& kernel, DeviceId device, const std::int64_t(&tiles)[3], const Params& params,
              Stream stream) {
    const std::shared_ptr<const Kernel> loaded = Find(kernel, device);
    const Profiler::Span span(engine.profiler(), "launch", loaded->name());
    Dim3 grid, block;
    grid.x = static_cast<std::uint32_t>(std::clamp<std::int64_t>(tiles[0], 1, kMaxGridX));
    grid.y = static_cast<std::uint32_t>(std::clamp<std::int64_t>(tiles[1], 1, kMaxGridY));
    grid.z = static_cast<std::uint32_t>(std::clamp<std::int64_t>(tiles[2], 1, kMaxGridZ));
    block.x = static_cast<std::uint32_t>(TileOf(kernel).threads);
    void* const pointers[] = {const_cast<Params*>(&params)};
    loaded->Launch(grid, block, {}, 0, pointers, stream);
  }
  std::shared_ptr<const Kernel> Find(const LayoutKernel& kernel, DeviceId id) {
    const std::scoped_lock lock(mutex);
    std::shared_ptr<const Kernel>& found = kernels[{{id.kind, id.index}, kernel}];
    if (found == nullptr) {
      const CodeTarget target = engine.devices().Get(id).targets().front();
      found = engine.Compile(RenderLayout(kernel, target, engine.options().compile), id);
    }
    return found;
  }
  void CopyScales(const char* operation, const Tensor& scales, const Tensor& out, std::int64_t gran_mn, bool packed,
                  Stream stream);
  void Cast(const char* operation, CastFactors factors, const Tensor& x, const Tensor& out, const Tensor& scales,
            const CastOptions& options, Stream stream);
  void CopyRows(const char* operation, const Tensor& from, const Tensor& counts, const PaddedGroups& to,
                std::int64_t alignment, bool back, Stream stream);

  Engine& engine;
  std::mutex mutex;
  std::map<std::pair<std::pair<DeviceKind, std::uint8_t>, LayoutKernel>, std::shared_ptr<const Kernel>> kernels;
};

void Layouts::State::CopyScales(const char* operation, const Tensor& scales, const Tensor& out, std::int64_t gran_mn,
                                bool packed, Stream stream) {
  const Named from{operation, "scales", scales, false}, to{operation, "out", out, true};
  from.ExpectRank(2, 3);
  from.ExpectType({DType::kF32});
  to.ExpectType({packed ? DType::kS32 : DType::kF32});
  Check({from, to});
  const std::int64_t rows = out.rank >= 2 ? Extent(out, 1) : 0;
  if (gran_mn < 1 || gran_mn > kMostRows || rows > kMostRows || CeilDiv(rows, gran_mn) != Extent(scales, 1))
    to.Refuse("", "is {}; scales are {}, of which each row is for {} rows", ShapeText(out), ShapeText(scales), gran_mn);
  ExpectLike(to, scales, rows, packed ? CeilDiv(Extent(scales, 0), 4) : Extent(scales, 0));
  if (out.size() == 0) return;

  ScaleLayoutParams params{};
  params.from = static_cast<const float*>(scales.data), params.to = out.data;
  params.batch = Extent(scales, 2), params.rows = rows, params.steps = Extent(scales, 0), params.gran = gran_mn;
  params.from_batch = Stride(scales, 2), params.from_row = Stride(scales, 1), params.from_step = Stride(scales, 0);
  params.to_batch = Stride(out, 2), params.to_row = Stride(out, 1), params.to_step = Stride(out, 0);
  if (out.device.kind == DeviceKind::kCpu) return gemmsmith::CopyScales(params, packed);
  const LayoutKernel kernel{packed ? Kind::kPackedScales : Kind::kScales};
  const LayoutTile tile = TileOf(kernel);
  Launch(kernel, out.device, {CeilDiv(rows, tile.rows), CeilDiv(params.steps, tile.columns), params.batch}, params,
         stream);
}

void Layouts::State::Cast(const char* operation, CastFactors factors, const Tensor& x, const Tensor& out,
                          const Tensor& scales, const CastOptions& options, Stream stream) {
  constexpr float kLeast = 0x1p-100f;
  const Named from{operation, "x", x, false}, to{operation, "out", out, true}, by{operation, "scales", scales, true};
  from.ExpectRank(2, 3);
  from.ExpectType({DType::kF32, DType::kF16, DType::kBf16});
  to.ExpectType({DType::kE4m3, DType::kE5m2});
  const bool per_channel = factors == CastFactors::kPerChannel, packed = scales.dtype == DType::kS32;
  if (per_channel)
    by.ExpectType({DType::kF32});
  else
    by.ExpectType({DType::kF32, DType::kS32});
  Check({from, to, by});
  const std::int64_t rows = Extent(x, 1), columns = Extent(x, 0), blocks = CeilDiv(columns, kFactor);
  ExpectLike(to, x, rows, columns);
  ExpectLike(by, x, factors == CastFactors::kPerToken ? rows : CeilDiv(rows, kFactor),
             per_channel ? columns
             : packed    ? CeilDiv(blocks, 4)
                         : blocks);
  from.ExpectUnitStride(), to.ExpectUnitStride();
  if (!(options.least_amax >= kLeast) || !(options.least_amax <= std::numeric_limits<float>::max()))
    throw Fail(Code::kInvalidArgument, "", "{}: least_amax={} is not a number from 2^-100 on", operation,
               options.least_amax);
  if (out.size() == 0) return;

  CastParams params{};
  params.from = x.data, params.to = out.data, params.scales = scales.data;
  params.batch = Extent(x, 2), params.rows = rows, params.columns = columns;
  const bool fours = columns % 4 == 0 && RowsAligned(x, 4 * BytesOf(x.dtype)) && RowsAligned(out, 4);
  const LayoutKernel kernel{Kind::kCast, factors, x.dtype, out.dtype, fours};
  const LayoutTile tile = TileOf(kernel);
  params.tiles_across = blocks, params.tiles_down = CeilDiv(rows, tile.rows);
  params.from_batch = Stride(x, 2), params.from_row = Stride(x, 1);
  params.to_batch = Stride(out, 2), params.to_row = Stride(out, 1);
  params.scale_batch = Stride(scales, 2), params.scale_row = Stride(scales, 1), params.scale_column = Stride(scales, 0);
  params.least = options.least_amax;
  params.form = packed ? CastParams::kPacked : options.use_ue8m0 ? CastParams::kPowers : CastParams::kPlain;
  if (out.device.kind == DeviceKind::kCpu) return CastFp8(params, factors, x.dtype, out.dtype);
  Launch(kernel, out.device, {params.tiles_across, params.tiles_down, params.batch}, params, stream);
}

void Layouts::State::CopyRows(const char* operation, const Tensor& from, const Tensor& counts, const PaddedGroups& to,
                              std::int64_t alignment, bool back, Stream stream) {
  const Named source{operation, back ? "padded" : "rows", from, false}, sizes{operation, "counts", counts, false},
      target{operation, back ? "rows" : "padded rows", to.rows, true}, indices{operation, "indices", to.indices, true},
      ends{operation, "ends", to.ends, true};
  source.ExpectRank(2, 2), target.ExpectRank(2, 2);
  target.ExpectShape({to.rows.shape[0], from.shape[1]});
  target.ExpectType({from.dtype});
  sizes.ExpectRank(1, 1);
  const std::int64_t rows = back ? to.rows.shape[0] : from.shape[0], padded = back ? from.shape[0] : to.rows.shape[0];
  const std::int64_t groups = counts.shape[0], wanted = PaddedRows(rows, groups, alignment);
  if (padded < wanted || padded > kMostRows || groups > kMostRows)
    (back ? source : target)
        .Refuse("see PaddedRows", "has {} rows; {} rows in {} groups aligned to {} want at least {}", padded, rows,
                groups, alignment, wanted);
  source.ExpectUnitStride(), target.ExpectUnitStride();
  const auto expect_line = [](const Named& line, std::int64_t length) {
    line.ExpectShape({length});
    line.ExpectType({DType::kS32});
    line.ExpectUnitStride();
  };
  expect_line(sizes, groups);
  if (to.indices.given()) expect_line(indices, padded);
  if (to.ends.given()) expect_line(ends, groups);
  const Named& spare = source;
  Check({source, sizes, target, to.indices.given() ? indices : spare, to.ends.given() ? ends : spare});
  if (to.rows.shape[0] == 0 && (groups == 0 || !to.ends.given())) return;

  GroupRowsParams params{};
  params.from = from.data, params.to = to.rows.data, params.counts = static_cast<const int*>(counts.data);
  params.indices = static_cast<int*>(to.indices.data), params.ends = static_cast<int*>(to.ends.data);
  params.from_rows = from.shape[0], params.to_rows = to.rows.shape[0];
  params.from_stride = from.strides[0] * BytesOf(from.dtype),
  params.to_stride = to.rows.strides[0] * BytesOf(from.dtype);
  params.row_bytes = from.shape[1] * BytesOf(from.dtype), params.alignment = alignment;
  params.groups = static_cast<int>(groups);
  params.access = 16;
  while (params.access > 1 && (params.row_bytes % params.access != 0 || !RowsAligned(from, params.access) ||
                               !RowsAligned(to.rows, params.access)))
    params.access = params.access == 16 ? 4 : params.access / 2;
  if (from.device.kind == DeviceKind::kCpu) return CopyGroupRows(params, back);
  const LayoutKernel kernel{back ? Kind::kUnpad : Kind::kPad};
  Launch(kernel, from.device, {CeilDiv(params.to_rows, TileOf(kernel).rows), 1, 1}, params, stream);
}

Layouts::Layouts(Engine& engine) : state_(std::make_unique<State>(engine)) {}
Layouts::~Layouts() = default;

void Layouts::GetMnMajorTmaAlignedTensor(const Tensor& scales, const Tensor& out, std::int64_t gran_mn,
                                         Stream stream) const {
  state_->CopyScales("mn-major scales", scales, out, gran_mn, false, stream);
}
void Layouts::GetMnMajorTmaAlignedPackedUe8m0Tensor(const Tensor& scales, const Tensor& out, std::int64_t gran_mn,
                                                    Stream stream) const {
  state_->CopyScales("mn-major packed scales", scales, out, gran_mn, true, stream);
}

void Layouts::PerTokenCastToFp8(const Tensor& x, const Tensor& out, const Tensor& scales, const CastOptions& options,
                                Stream stream) const {
  state_->Cast("per-token cast", CastFactors::kPerToken, x, out, scales, options, stream);
}
void Layouts::PerBlockCastToFp8(const Tensor& x, const Tensor& out, const Tensor& scales, const CastOptions& options,
                                Stream stream) const {
  state_->Cast("per-block cast", CastFactors::kPerBlock, x, out, scales, options, stream);
}
void Layouts::PerChannelCastToFp8(const Tensor& x, const Tensor& out, const Tensor& scales, const CastOptions& options,
                                  Stream stream) const {
  state_->Cast("per-channel cast", CastFactors::kPerChannel, x, out, scales, options, stream);
}

void Layouts::PadGroups(const Tensor& rows, const Tensor& counts, const PaddedGroups& padded, std::int64_t alignment,
                        Stream stream) const {
  state_->CopyRows("pad groups", rows, counts, padded, alignment, false, stream);
}
void Layouts::UnpadGroups(const Tensor& padded, const Tensor& counts, const Tensor& rows, std::int64_t alignment,
                          Stream stream) const {
  state_->CopyRows("unpad groups", padded, counts, {rows, {}, {}}, alignment, true, stream);
}

int Layouts::CompileAhead(const CodeTarget& target) const {
  if (target.isa != Isa::kCuda)
    throw Fail(Code::kUnsupported, "", "layouts: there is nothing to compile for {}", ToString(target));
  const std::vector<LayoutKernel> kernels = AllLayoutKernels();
  for (const LayoutKernel& kernel : kernels)
    state_->engine.Emit(RenderLayout(kernel, target, state_->engine.options().compile), "cubin");
  return static_cast<int>(kernels.size());
}

}  // namespace gemmsmith
