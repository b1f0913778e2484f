// Casts, transposes and paddings on a GPU: the bits of the CPU, which layouts_test compares with references.
#include <cstring>
#include <random>

#include "gpu_test.h"

namespace gemmsmith {
namespace {

/// The same matrix on both devices.
struct Both {
  Both(Device& gpu, Device& cpu, DType dtype, const Matrix::Form& form)
      : there(gpu, dtype, form), here(cpu, dtype, form) {
    for (Matrix* matrix : {&there, &here}) matrix->PoisonAll();
  }
  void Randomize(std::uint64_t seed) {
    for (Matrix* matrix : {&there, &here}) matrix->Randomize(seed);
  }
  void ExpectSame(const std::string& what) {
    for (Matrix* matrix : {&there, &here}) matrix->Download();
    EXPECT_EQ(std::memcmp(there.bytes().data(), here.bytes().data(), here.bytes().size()), 0) << what;
  }
  Matrix there, here;
};

class GpuLayouts : public GpuTest {
 protected:
  static Layouts& layouts() {
    static Layouts layouts(engine());
    return layouts;
  }
  static Both Make(DType dtype, const Matrix::Form& form) {
    return {device(), engine().devices().Get({}), dtype, form};
  }
  static Tensor Line(const Tensor& t) { return Tensor(t.data, t.dtype, {t.shape[1]}, t.device); }

  std::uint64_t seed_ = std::random_device()();
};

TEST_F(GpuLayouts, CastsAsTheCpuDoes) {
  const Matrix::Form forms[] = {{1, 1, 128}, {1, 77, 7168}, {3, 130, 1028, false, 4}, {1, 257, 1030, false, 3}};
  for (const Matrix::Form& form : forms)
    for (const DType from : {DType::kF32, DType::kF16, DType::kBf16})
      for (const DType to : {DType::kE4m3, DType::kE5m2})
        for (const int factors : {0, 1, 2}) {
          const std::string what = "m=" + std::to_string(form.rows) + " k=" + std::to_string(form.columns) + " " +
                                   std::string(ToString(from)) + " factors=" + std::to_string(factors) +
                                   " seed=" + std::to_string(seed_);
          const std::int64_t down = CeilDiv(form.rows, 128), across = CeilDiv(form.columns, 128);
          const Matrix::Form scale_form{form.batch, factors == 0 ? form.rows : down,
                                        factors == 2 ? form.columns : across, true};
          Both x = Make(from, form), out = Make(to, form), scales = Make(DType::kF32, scale_form);
          x.Randomize(++seed_);
          const CastOptions options{factors == 1};
          for (Matrix Both::*on : {&Both::there, &Both::here}) {
            const Tensor &a = (x.*on).there, &b = (out.*on).there, &by = (scales.*on).there;
            if (factors == 0) layouts().PerTokenCastToFp8(a, b, by, options);
            if (factors == 1) layouts().PerBlockCastToFp8(a, b, by, options);
            if (factors == 2) layouts().PerChannelCastToFp8(a, b, by, options);
          }
          out.ExpectSame(what);
          scales.ExpectSame(what + ", scales");
        }
}

TEST_F(GpuLayouts, TransposesAndPacksScalesAsTheCpuDoes) {
  for (const Matrix::Form& form : {Matrix::Form{1, 4097, 56}, Matrix::Form{2, 33, 7, true, 2}, Matrix::Form{1, 1, 1}}) {
    const std::int64_t padding = (4 - form.rows % 4) % 4;
    Both scales = Make(DType::kF32, form),
         out = Make(DType::kF32, {form.batch, form.rows, form.columns, true, padding}),
         packed = Make(DType::kS32, {form.batch, form.rows, CeilDiv(form.columns, 4), true, padding});
    scales.Randomize(++seed_);
    for (Matrix Both::*on : {&Both::there, &Both::here}) {
      layouts().GetMnMajorTmaAlignedTensor((scales.*on).there, (out.*on).there);
      layouts().GetMnMajorTmaAlignedPackedUe8m0Tensor((scales.*on).there, (packed.*on).there);
    }
    out.ExpectSame("transposed, seed " + std::to_string(seed_));
    packed.ExpectSame("packed, seed " + std::to_string(seed_));
  }
}

TEST_F(GpuLayouts, PadsGroupsAsTheCpuDoes) {
  std::mt19937_64 random(++seed_);
  for (const std::int64_t groups : {1, 8, 600}) {
    std::vector<std::int32_t> sizes(static_cast<std::size_t>(groups));
    std::int64_t rows = 5;
    for (std::int32_t& size : sizes) rows += size = static_cast<std::int32_t>(random() % 200);
    const std::int64_t padded_rows = PaddedRows(rows, groups, 128);
    Both counts = Make(DType::kS32, {1, 1, groups}), from = Make(DType::kBf16, {1, rows, 264}),
         padded = Make(DType::kBf16, {1, padded_rows, 264}), back = Make(DType::kBf16, {1, rows, 264}),
         indices = Make(DType::kS32, {1, 1, padded_rows}), ends = Make(DType::kS32, {1, 1, groups});
    from.Randomize(seed_);
    for (Matrix Both::*on : {&Both::there, &Both::here}) {
      Matrix& count = counts.*on;
      std::memcpy(count.host.data, sizes.data(), sizes.size() * sizeof sizes[0]);
      count.Upload();
      layouts().PadGroups((from.*on).there, Line(count.there),
                          {(padded.*on).there, Line((indices.*on).there), Line((ends.*on).there)});
      layouts().UnpadGroups((padded.*on).there, Line(count.there), (back.*on).there);
    }
    const std::string what = std::to_string(groups) + " groups, seed " + std::to_string(seed_);
    padded.ExpectSame(what);
    indices.ExpectSame(what + ", indices");
    ends.ExpectSame(what + ", ends");
    back.ExpectSame(what + ", back");
  }
}

}  // namespace
}  // namespace gemmsmith
