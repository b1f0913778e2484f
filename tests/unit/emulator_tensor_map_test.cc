#include "runtime/emulator/tensor_memory/tensor_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "gemmsmith/error.h"
#include "runtime/emulator/numeric/conversions.h"
#include "runtime/emulator/tensor_memory/matrix_descriptor.h"
#include "runtime/emulator/tensor_memory/tensor_copy.h"

namespace gemmsmith::emulator {
namespace {

using ::testing::HasSubstr;

template <class Function>
std::string ErrorOf(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// A dense tensor whose element i is i + 1.
template <class Element>
struct Tensor {
  std::vector<Element> storage;
  TensorMap map;

  Tensor(MemoryType type, std::vector<std::uint64_t> dims, std::vector<std::uint32_t> box, std::uint32_t swizzle) {
    map.type = type;
    map.rank = static_cast<int>(dims.size());
    std::uint64_t stride = sizeof(Element), count = 1;
    for (int i = 0; i < map.rank; ++i) {
      map.dims[i] = dims[i];
      map.box[i] = box[i];
      if (i > 0) map.strides[i - 1] = stride;
      stride = (stride * dims[i] + 15) / 16 * 16;
      count = stride / sizeof(Element);
    }
    storage.resize(count + 16 / sizeof(Element));
    std::iota(storage.begin(), storage.end(), Element{1});
    map.address = (reinterpret_cast<std::uint64_t>(storage.data()) + 15) / 16 * 16;
    map.swizzle = swizzle;
  }
  Element* At(const std::vector<std::int64_t>& at) const {
    std::uint64_t address = map.address + at[0] * sizeof(Element);
    for (int i = 0; i < map.rank; ++i) {
      if (at[i] < 0 || at[i] >= static_cast<std::int64_t>(map.dims[i])) return nullptr;
      if (i > 0) address += at[i] * map.strides[i - 1];
    }
    return reinterpret_cast<Element*>(address);
  }
};

TEST(EmulatorTensorMap, SurvivesTheWayThroughItsBytes) {
  Tensor<std::uint16_t> tensor(MemoryType::kBf16, {100, 20, 3}, {64, 8, 2}, 3);
  tensor.map.element_steps = {1, 2, 1, 1, 1};
  tensor.map.oob_fill = 1;
  std::array<std::byte, 128> opaque;
  tensor.map.Encode(opaque);
  EXPECT_EQ(TensorMap::Decode(opaque), tensor.map);
  for (int bit = 0; bit < 64; ++bit) {
    auto broken = opaque;
    broken[bit] ^= std::byte{1};
    EXPECT_THAT(ErrorOf([&] { TensorMap::Decode(broken); }), HasSubstr("no tensor map")) << bit;
  }
}

TEST(EmulatorTensorMap, IsRefusedWhereTheDriverRefusesIt) {
  struct Row {
    const char* message;
    std::function<void(TensorMap&)> change;
  };
  const Row rows[] = {
      {"rank 6", [](TensorMap& map) { map.rank = 6; }},
      {"rank 0", [](TensorMap& map) { map.rank = 0; }},
      {"global address", [](TensorMap& map) { map.address += 8; }},
      {"dimension 1 has 0", [](TensorMap& map) { map.dims[1] = 0; }},
      {"dimension 0 has 4294967297", [](TensorMap& map) { map.dims[0] = (std::uint64_t{1} << 32) + 1; }},
      {"stride 200 bytes", [](TensorMap& map) { map.strides[0] = 200; }},
      {"stride 1099511627776", [](TensorMap& map) { map.strides[0] = std::uint64_t{1} << 40; }},
      {"box has 257", [](TensorMap& map) { map.box[1] = 257; }},
      {"box has 0", [](TensorMap& map) { map.box[1] = 0; }},
      {"has 24 bytes", [](TensorMap& map) { map.box[0] = 12; }},
      {"has 256 bytes; at most 128", [](TensorMap& map) { map.box[0] = 128; }},
      {"element stride 9", [](TensorMap& map) { map.element_steps[1] = 9; }},
      {"interleave 1", [](TensorMap& map) { map.interleave = 1; }},
      {"swizzle 4", [](TensorMap& map) { map.swizzle = 4; }},
      {"data type 13", [](TensorMap& map) { map.type = static_cast<MemoryType>(13); }},
      {"fill 1 outside of a tensor of u16", [](TensorMap& map) { map.type = MemoryType::kU16, map.oob_fill = 1; }},
  };
  for (const Row& row : rows) {
    Tensor<std::uint16_t> tensor(MemoryType::kF16, {128, 20}, {64, 8}, 3);
    EXPECT_NO_THROW(tensor.map.Check());
    row.change(tensor.map);
    EXPECT_THAT(ErrorOf([&] { tensor.map.Check(); }), HasSubstr(row.message));
  }
}

TEST(EmulatorTensorMap, LoadsEveryElementOfBoxesOfEveryRankAndSwizzle) {
  const std::vector<std::uint64_t> dims{40, 7, 5, 3, 2};
  for (int rank = 1; rank <= 5; ++rank)
    for (std::uint32_t swizzle = 0; swizzle < 4; ++swizzle)
      for (std::int32_t shift : {0, 3, -5, 1000}) {
        Tensor<std::uint32_t> tensor(MemoryType::kU32, {dims.begin(), dims.begin() + rank}, {8, 4, 3, 2, 2}, swizzle);
        std::vector<std::int32_t> coordinates(rank, 1);
        coordinates[0] = shift;
        const TensorBox box(tensor.map, coordinates, 256);
        std::vector<std::byte> shared(32 * 1024, std::byte{0xee});
        box.Load(shared);
        const std::uint32_t pitch = swizzle == 0 ? 32 : 16u << swizzle;
        for (std::uint32_t i = 0; i < box.rows() * 8; ++i) {
          std::vector<std::int64_t> at(rank);
          std::uint32_t rest = i / 8;
          at[0] = shift + static_cast<std::int64_t>(i % 8);
          for (int d = 1; d < rank; ++d) at[d] = 1 + rest % tensor.map.box[d], rest /= tensor.map.box[d];
          const std::uint32_t address = Swizzled(static_cast<Swizzle>(swizzle), 256 + i / 8 * pitch + i % 8 * 4);
          std::uint32_t value;
          std::memcpy(&value, shared.data() + address, 4);
          const std::uint32_t* expected = tensor.At(at);
          ASSERT_EQ(value, expected ? *expected : 0) << "rank " << rank << " swizzle " << swizzle << " element " << i;
        }
        EXPECT_EQ(box.bytes(), box.rows() * 32);
        EXPECT_EQ(shared[255], std::byte{0xee});
        EXPECT_EQ(shared[256 + box.shared_bytes()], std::byte{0xee});
      }
}

TEST(EmulatorTensorMap, StoresAndReducesOnlyInsideOfTheTensor) {
  for (std::uint32_t swizzle : {0u, 3u})
    for (bool reduce : {false, true}) {
      Tensor<float> tensor(MemoryType::kF32, {10, 6}, {16, 8}, swizzle);
      const auto before = tensor.storage;
      Tensor<float> source(MemoryType::kF32, {16, 8}, {16, 8}, swizzle);
      std::vector<std::byte> shared(8 * 1024);
      TensorBox(source.map, std::vector<std::int32_t>{0, 0}, 0).Load(shared);
      const TensorBox box(tensor.map, std::vector<std::int32_t>{-3, 2}, 0);
      reduce ? box.ReduceInto(shared, Reduction::kAdd) : box.Store(shared);
      std::vector<float> expected = before;
      for (int row = 2; row < 6; ++row)
        for (int column = 0; column < 10; ++column) {
          float& element = expected[tensor.At({column, row}) - tensor.storage.data()];
          const float value = *source.At({column + 3, row - 2});
          element = reduce ? element + value : value;
        }
      EXPECT_EQ(tensor.storage, expected);
    }
}

TEST(EmulatorTensorMap, ElementStridesSkip) {
  Tensor<std::uint32_t> tensor(MemoryType::kU32, {8, 9}, {4, 5}, 0);
  tensor.map.element_steps = {1, 2, 1, 1, 1};
  const TensorBox box(tensor.map, std::vector<std::int32_t>{0, 1}, 0);
  EXPECT_EQ(box.rows(), 3u);
  std::vector<std::byte> shared(1024);
  box.Load(shared);
  for (int row = 0; row < 3; ++row) {
    std::uint32_t value;
    std::memcpy(&value, shared.data() + row * 16, 4);
    EXPECT_EQ(value, *tensor.At({0, 1 + 2 * row}));
  }
}

TEST(EmulatorTensorMap, OutsideIsNanWhereAskedFor) {
  for (MemoryType type : {MemoryType::kF16, MemoryType::kBf16}) {
    Tensor<std::uint16_t> tensor(type, {8, 1}, {16, 2}, 0);
    tensor.map.oob_fill = 1;
    std::vector<std::byte> shared(256);
    TensorBox(tensor.map, std::vector<std::int32_t>{0, 0}, 0).Load(shared);
    std::uint16_t values[32];
    std::memcpy(values, shared.data(), 64);
    for (int i = 0; i < 32; ++i) EXPECT_EQ(values[i], i < 8 ? *tensor.At({i, 0}) : 0x7fff);
  }
}

TEST(EmulatorTensorMap, Tf32RoundsAndFtzFlushesOnTheWayIn) {
  Tensor<float> tensor(MemoryType::kTf32Ftz, {4}, {4}, 0);
  *tensor.At({0}) = 1 + 0x1.8p-11f;
  *tensor.At({1}) = 0x1p-130f;
  *tensor.At({2}) = F32FromBits(0x7f812345);
  std::vector<std::byte> shared(128);
  TensorBox(tensor.map, std::vector<std::int32_t>{0}, 0).Load(shared);
  float values[3];
  std::memcpy(values, shared.data(), sizeof values);
  EXPECT_EQ(values[0], 1 + 0x1p-10f);
  EXPECT_EQ(values[1], 0);
  EXPECT_EQ(F32Bits(values[2]), 0x7f812345u);
}

/// Tensor map and matrix descriptor are two readings of one layout.
TEST(EmulatorTensorMap, WhatIsLoadedSwizzledIsWhatWgmmaReads) {
  for (std::uint32_t swizzle : {1u, 2u, 3u}) {
    const std::uint32_t inner = 8u << swizzle, mode = 4 - swizzle;
    Tensor<std::uint16_t> tensor(MemoryType::kBf16, {64, 64}, {inner, 64}, swizzle);
    std::vector<std::byte> shared(32 * 1024);
    TensorBox(tensor.map, std::vector<std::int32_t>{0, 0}, 2048).Load(shared);
    const std::uint64_t stride = 8 * inner * 2;
    const std::uint64_t common = (stride >> 4) << 32 | std::uint64_t{mode} << 62;
    FactorReader reader;
    std::vector<float> tile(64 * 16);
    for (std::uint32_t step = 0; step < inner / 16; ++step) {  // K-major: rows are m, the box goes along k
      reader.Read(shared, MatrixDescriptor::OfWgmma(common | (2048 + step * 32) >> 4), FactorReader::Side::kA,
                  Major::kK, 64, 16, TensorType::kBf16, false, tile.data());
      for (int row = 0; row < 64; ++row)
        for (int k = 0; k < 16; ++k)
          ASSERT_EQ(tile[row * 16 + k], Bf16ToF32(*tensor.At({k + step * 16, row})))
              << swizzle << ": " << row << ", " << k;
    }
    const int extent = static_cast<int>(inner);  // MN-major: the box goes along n
    for (std::uint32_t step = 0; step < 4; ++step) {
      reader.Read(shared, MatrixDescriptor::OfWgmma(common | (2048 + step * 2 * stride) >> 4), FactorReader::Side::kB,
                  Major::kMn, extent, 16, TensorType::kBf16, false, tile.data());
      for (int k = 0; k < 16; ++k)
        for (int n = 0; n < extent; ++n)
          ASSERT_EQ(tile[k * extent + n], Bf16ToF32(*tensor.At({n, k + step * 16})))
              << swizzle << ": " << k << ", " << n;
    }
  }
}

TEST(EmulatorTensorMap, BadCopiesAreRefused) {
  Tensor<float> tensor(MemoryType::kF32, {16, 16}, {16, 16}, 0);
  std::vector<std::byte> shared(1024);
  EXPECT_THAT(ErrorOf([&] { TensorBox(tensor.map, std::vector<std::int32_t>{0}, 0); }), HasSubstr("1 coordinates"));
  EXPECT_THAT(ErrorOf([&] { TensorBox(tensor.map, std::vector<std::int32_t>{0, 0}, 64); }), HasSubstr("0x40"));
  EXPECT_THAT(ErrorOf([&] {
                TensorBox(tensor.map, std::vector<std::int32_t>{0, 0}, 128).Load(shared);
              }),
              HasSubstr("1024 bytes at 0x80 of 1024"));
  EXPECT_THAT(ErrorOf([&] {
                TensorBox(tensor.map, std::vector<std::int32_t>{0, 0}, 0).ReduceInto(shared, Reduction::kXor);
              }),
              HasSubstr("no .xor of f32"));
}

TEST(EmulatorReduce, CombinesAsAtomicsDo) {
  const auto one = [](Reduction reduction, MemoryType type, auto old, auto value) {
    CheckReduction(reduction, type);
    Reduce(reduction, type, reinterpret_cast<const std::byte*>(&value), reinterpret_cast<std::byte*>(&old), sizeof old);
    return old;
  };
  using M = MemoryType;
  EXPECT_EQ(one(Reduction::kAdd, M::kU32, 0xffffffffu, 2u), 1u);
  EXPECT_EQ(one(Reduction::kAdd, M::kS32, INT32_MAX, 1), INT32_MIN);
  EXPECT_EQ(one(Reduction::kMin, M::kS32, 3, -4), -4);
  EXPECT_EQ(one(Reduction::kMin, M::kU32, 3u, 0xfffffffcu), 3u);
  EXPECT_EQ(one(Reduction::kMax, M::kS64, std::int64_t{-3}, std::int64_t{-4}), -3);
  EXPECT_EQ(one(Reduction::kInc, M::kU32, 5u, 5u), 0u);
  EXPECT_EQ(one(Reduction::kInc, M::kU32, 4u, 5u), 5u);
  EXPECT_EQ(one(Reduction::kDec, M::kU32, 0u, 5u), 5u);
  EXPECT_EQ(one(Reduction::kDec, M::kU32, 9u, 5u), 5u);
  EXPECT_EQ(one(Reduction::kDec, M::kU32, 3u, 5u), 2u);
  EXPECT_EQ(one(Reduction::kAnd, M::kU64, std::uint64_t{12}, std::uint64_t{10}), 8u);
  EXPECT_EQ(one(Reduction::kOr, M::kU32, 12u, 10u), 14u);
  EXPECT_EQ(one(Reduction::kXor, M::kU32, 12u, 10u), 6u);
  EXPECT_EQ(one(Reduction::kAdd, M::kF64, 1.5, 2.25), 3.75);
  EXPECT_EQ(one(Reduction::kAdd, M::kF16, F32ToF16(2048), F32ToF16(1)), F32ToF16(2048));
  EXPECT_EQ(one(Reduction::kAdd, M::kBf16, F32ToBf16(1.5f), F32ToBf16(2)), F32ToBf16(3.5f));
  EXPECT_EQ(one(Reduction::kMax, M::kF16, std::uint16_t{0x7fff}, F32ToF16(-1)), F32ToF16(-1));
  EXPECT_EQ(one(Reduction::kMin, M::kBf16, F32ToBf16(-2), F32ToBf16(1)), F32ToBf16(-2));
}

}  // namespace
}  // namespace gemmsmith::emulator
