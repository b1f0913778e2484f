#include "gemmsmith/layouts.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "array.h"
#include "bindings.h"
#include "call.h"
#include "engine_access.h"
#include "errors.h"
#include "objects.h"

namespace gemmsmith::python {
namespace {

/// Those of an engine, which it keeps: what was compiled for one call serves the next.
struct OfEngine {
  explicit OfEngine(std::shared_ptr<Engine> of) : engine(std::move(of)), layouts(*engine) {}
  std::shared_ptr<Engine> engine;
  Layouts layouts;
};
std::shared_ptr<const OfEngine> Current() {
  static std::mutex mutex;
  static auto* const current = new std::shared_ptr<const OfEngine>;  // never destroyed, as the engine
  const std::scoped_lock lock(mutex);
  const std::shared_ptr<Engine> engine = CurrentEngine();
  if (*current == nullptr || (*current)->engine != engine) *current = std::make_shared<OfEngine>(engine);
  return *current;
}

/// An output: the one that was given, or a new one.
class Output {
 public:
  Output(const char* name, nb::handle given) : name_(name), given_(Given(given) ? given.ptr() : nullptr) {}

  bool given() const { return given_ != nullptr; }
  /// `make` returns a new reference.
  template <class Make>
  void Take(const Make& make) {
    if (given_ == nullptr) made_ = Ref(make());
    array_.Take(name_, given_ != nullptr ? given_ : made_.get());
    if (given_ != nullptr && array_.library() == Library::kJax)
      throw Error(Code::kInvalidArgument, std::string(name_) + " is an array of JAX, which nobody may write to",
                  "take the array that is returned");
  }
  const Array& array() const { return array_; }
  nb::object Return(const Array& like) {
    if (given_ != nullptr) return nb::borrow(given_);
    return nb::steal(Deliver(like, made_.release()));
  }

 private:
  const char* name_;
  PyObject* given_;
  Ref made_;
  Array array_;
};

/// layouts(layouts, stream), on the stream of `like` where none is given, while other Python threads run.
template <class Work>
void Run(const Array& like, nb::handle stream, const Work& work) {
  const Stream on = StreamOf(stream.ptr(), false, like);
  const std::shared_ptr<const OfEngine> current = Current();
  const WithoutGil others;
  work(current->layouts, on);
}

constexpr std::int64_t kFactor = 128;  // elements that share a factor

struct Cast {
  std::string_view name;
  void (Layouts::*call)(const Tensor&, const Tensor&, const Tensor&, const CastOptions&, Stream) const;
  std::int64_t rows, columns;  ///< That share a factor.
};
constexpr Cast kCasts[] = {{"token", &Layouts::PerTokenCastToFp8, 1, kFactor},
                           {"block", &Layouts::PerBlockCastToFp8, kFactor, kFactor},
                           {"channel", &Layouts::PerChannelCastToFp8, kFactor, 1}};

nb::tuple CastToFp8(const std::string& per, nb::handle x, nb::handle out, nb::handle scales, nb::handle dtype,
                    bool use_ue8m0, float least_amax, nb::handle stream) {
  const Cast* const cast = std::ranges::find(kCasts, per, &Cast::name);
  if (cast == std::end(kCasts)) throw Error(Code::kInvalidArgument, "there is no cast per " + per);
  Array from;
  from.Take("x", x.ptr());
  if (from.rank() != 2 && from.rank() != 3)
    throw Error(Code::kInvalidArgument,
                "per-" + per + " cast: x is " + from.Describe() + ", no matrix or stack of them");
  std::vector<std::int64_t> shape(from.shape().begin(), from.shape().end());
  Output to("out", out), by("scales", scales);
  to.Take([&] { return Allocate(from, shape, DTypeOfObject(dtype.ptr())); });
  std::int64_t &rows = shape[shape.size() - 2], &columns = shape.back();
  rows = CeilDiv(rows, cast->rows), columns = CeilDiv(columns, cast->columns);
  by.Take([&] { return Allocate(from, shape, DType::kF32); });
  CastOptions options;
  options.use_ue8m0 = use_ue8m0, options.least_amax = least_amax;
  const Tensor source = from.tensor(), target = to.array().tensor(), factors = by.array().tensor();
  Run(from, stream,
      [&](const Layouts& layouts, Stream on) { (layouts.*cast->call)(source, target, factors, options, on); });
  return nb::make_tuple(to.Return(from), by.Return(from));
}

nb::object MnMajorScales(nb::handle scales, nb::handle out, std::int64_t gran_mn, std::int64_t mn, bool packed,
                         nb::handle stream) {
  Array from;
  from.Take("scales", scales.ptr());
  const Tensor source = from.tensor();
  Output to("out", out);
  to.Take([&] {
    const Tensor wanted = packed ? MnMajorTmaAlignedPackedUe8m0(source, gran_mn, mn).tensor
                                 : MnMajorTmaAligned(source, gran_mn, mn).tensor;
    const int r = wanted.rank - 2;
    const std::int64_t ld = GetTmaAlignedSize(wanted.shape[r], wanted.dtype);
    const std::int64_t shape[] = {wanted.shape[0], wanted.shape[r + 1], ld};  // steps of rows
    const Ref memory(Allocate(from, std::span(shape).subspan(r == 1 ? 0 : 1), wanted.dtype));
    const Ref transposed = LibraryFunction("transposed");
    return PyObject_CallFunction(transposed.get(), "OL", memory.get(), static_cast<long long>(wanted.shape[r]));
  });
  const Tensor target = to.array().tensor();
  Run(from, stream, [&](const Layouts& layouts, Stream on) {
    packed ? layouts.GetMnMajorTmaAlignedPackedUe8m0Tensor(source, target, gran_mn, on)
           : layouts.GetMnMajorTmaAlignedTensor(source, target, gran_mn, on);
  });
  return to.Return(from);
}

nb::tuple PadGroups(nb::handle rows, nb::handle counts, nb::handle out, nb::handle indices, nb::handle ends,
                    std::int64_t alignment, nb::handle stream) {
  Array from, sizes;
  from.Take("rows", rows.ptr());
  sizes.Take("counts", counts.ptr());
  if (from.rank() != 2 || sizes.rank() != 1)
    throw Error(Code::kInvalidArgument, "pad groups: rows are " + from.Describe() + ", counts are " + sizes.Describe(),
                "give a matrix, and one s32 for each group");
  const std::int64_t groups = sizes.shape()[0];
  Output padded("out", out), owners("indices", indices), limits("ends", ends);
  padded.Take([&] {
    const std::int64_t shape[] = {PaddedRows(from.shape()[0], groups, alignment), from.shape()[1]};
    return Allocate(from, shape, from.dtype());
  });
  const std::int64_t padded_rows = padded.array().rank() > 0 ? padded.array().shape()[0] : 0;
  owners.Take([&] { return Allocate(from, {&padded_rows, 1}, DType::kS32); });
  limits.Take([&] { return Allocate(from, {&groups, 1}, DType::kS32); });
  const Tensor source = from.tensor(), of_groups = sizes.tensor();
  const PaddedGroups to{padded.array().tensor(), owners.array().tensor(), limits.array().tensor()};
  Run(from, stream,
      [&](const Layouts& layouts, Stream on) { layouts.PadGroups(source, of_groups, to, alignment, on); });
  return nb::make_tuple(padded.Return(from), owners.Return(from), limits.Return(from));
}

nb::object UnpadGroups(nb::handle padded, nb::handle counts, nb::handle out, std::int64_t alignment,
                       nb::handle stream) {
  Array from, sizes, to;
  from.Take("padded", padded.ptr());
  sizes.Take("counts", counts.ptr());
  to.Take("out", out.ptr());
  const Tensor source = from.tensor(), of_groups = sizes.tensor(), target = to.tensor();
  Run(from, stream,
      [&](const Layouts& layouts, Stream on) { layouts.UnpadGroups(source, of_groups, target, alignment, on); });
  return nb::borrow(out);
}

}  // namespace

void BindLayouts(nb::module_& m) {
  m.def("cast_to_fp8", &CastToFp8, nb::arg("per"), nb::arg("x").none(), nb::arg("out").none(), nb::arg("scales").none(),
        nb::arg("dtype"), nb::arg("use_ue8m0"), nb::arg("least_amax"), nb::arg("stream").none(),
        nb::sig("def cast_to_fp8(per: str, x: typing.Any, out: typing.Any, scales: typing.Any, dtype: typing.Any, "
                "use_ue8m0: bool, least_amax: float, stream: typing.Any) -> tuple[typing.Any, typing.Any]"));
  m.def("mn_major_scales", &MnMajorScales, nb::arg("scales").none(), nb::arg("out").none(), nb::arg("gran_mn"),
        nb::arg("mn"), nb::arg("packed"), nb::arg("stream").none(),
        nb::sig("def mn_major_scales(scales: typing.Any, out: typing.Any, gran_mn: int, mn: int, packed: bool, "
                "stream: typing.Any) -> typing.Any"));
  m.def("pad_groups", &PadGroups, nb::arg("rows").none(), nb::arg("counts").none(), nb::arg("out").none(),
        nb::arg("indices").none(), nb::arg("ends").none(), nb::arg("alignment"), nb::arg("stream").none(),
        nb::sig("def pad_groups(rows: typing.Any, counts: typing.Any, out: typing.Any, indices: typing.Any, "
                "ends: typing.Any, alignment: int, stream: typing.Any) -> tuple[typing.Any, typing.Any, typing.Any]"));
  m.def("unpad_groups", &UnpadGroups, nb::arg("padded").none(), nb::arg("counts").none(), nb::arg("out").none(),
        nb::arg("alignment"), nb::arg("stream").none(),
        nb::sig("def unpad_groups(padded: typing.Any, counts: typing.Any, out: typing.Any, alignment: int, "
                "stream: typing.Any) -> typing.Any"));
  m.def("padded_rows", &PaddedRows, nb::arg("rows"), nb::arg("groups"), nb::arg("alignment"));
  m.def(
      "tma_aligned_size",
      [](std::int64_t elements, nb::handle dtype) { return GetTmaAlignedSize(elements, DTypeOfObject(dtype.ptr())); },
      nb::arg("elements"), nb::arg("dtype"), nb::sig("def tma_aligned_size(elements: int, dtype: typing.Any) -> int"));
  m.attr("M_ALIGNMENT") = GetMAlignmentForContiguousLayout();
  m.attr("K_ALIGNMENT") = GetKAlignmentForContiguousLayout();
}

}  // namespace gemmsmith::python
