#include "cubin.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

std::string ReadData(const std::string& name) {
  std::ifstream file(std::string(GEMMSMITH_SOURCE_DIR "/tests/data/") + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// True if `bytes` can be read, false if they are refused in the proper way.
bool Accepts(std::string_view bytes) {
  try {
    ReadCubin(bytes);
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    return false;
  }
}

struct Row {
  const char* file;
  int plain_registers, local_registers;
};
/// Made from tests/data/tiny.cu by nvcc 13.0; the numbers are those that ptxas printed with -v.
constexpr Row kRows[] = {{"tiny_sm_80.cubin", 10, 22}, {"tiny_sm_90a.cubin", 10, 23}};

TEST(Cubin, TellsWhatPtxasTold) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.file);
    const std::vector<CubinKernel> kernels = ReadCubin(ReadData(row.file));
    ASSERT_EQ(kernels.size(), 2u);
    const CubinKernel &local = kernels[0], &plain = kernels[1];
    EXPECT_EQ(local.name, "Local");
    EXPECT_EQ(local.resources.registers, row.local_registers);
    EXPECT_EQ(local.resources.spill_bytes, 64);
    EXPECT_EQ(local.resources.static_shared_bytes, 0);
    EXPECT_EQ(local.resources.max_threads, 0);
    EXPECT_EQ(plain.name, "Plain");
    EXPECT_EQ(plain.resources.registers, row.plain_registers);
    EXPECT_EQ(plain.resources.spill_bytes, 0);
    EXPECT_EQ(plain.resources.static_shared_bytes, 1024);
    EXPECT_EQ(plain.resources.max_threads, 64);
  }
}

TEST(Cubin, CountsInstructions) {
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.file);
    const std::vector<CubinKernel> kernels = ReadCubin(ReadData(row.file));
    ASSERT_EQ(kernels.size(), 2u);
    EXPECT_EQ(kernels[0].Count(sass::kStl), 9);
    EXPECT_EQ(kernels[0].Count(sass::kLdl), 6);
    EXPECT_EQ(kernels[0].Count(sass::kBar), 0);
    EXPECT_EQ(kernels[1].Count(sass::kStl), 0);
    EXPECT_EQ(kernels[1].Count(sass::kBar), 1);
    EXPECT_EQ(kernels[1].Count(sass::kStg), 1);
    for (const CubinKernel& kernel : kernels) {
      std::int64_t instructions = 0;
      for (const auto& [opcode, count] : kernel.opcodes) instructions += count;
      EXPECT_EQ(kernel.resources.code_bytes, 16 * instructions);
    }
  }
}

TEST(Cubin, RefusesWhatIsNoCubin) {
  std::string host(64, '\0');
  host.replace(0, 5,
               "\x7f"
               "ELF\x02");
  for (const std::string& bytes : {std::string(), std::string("not an ELF file"), std::string(1000, '\x7f'), host})
    EXPECT_FALSE(Accepts(bytes));
}

TEST(Cubin, RefusesEveryTruncation) {
  for (const Row& row : kRows) {
    const std::string whole = ReadData(row.file);
    // Program headers come last and are not needed; all else must be there.
    for (std::size_t size = 0; size < whole.size() - 64 * 8; ++size)
      EXPECT_FALSE(Accepts(std::string(whole.data(), size))) << row.file << " cut to " << size;
  }
}

TEST(Cubin, SurvivesDamageAnywhere) {
  std::mt19937 random(std::random_device{}());
  for (const Row& row : kRows) {
    const std::string whole = ReadData(row.file);
    int accepted = 0, refused = 0;
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 + random() % 255));
      ++(Accepts(damaged) ? accepted : refused);
    }
    EXPECT_GT(accepted, 0) << row.file;
    EXPECT_GT(refused, 0) << row.file;
  }
}

}  // namespace
}  // namespace gemmsmith
