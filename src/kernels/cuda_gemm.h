#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "gemmsmith/args.h"
#include "gemmsmith/problem.h"
#include "kernels/family.h"
#include "templates/params.h"

namespace gemmsmith {

// What the families of CUDA kernels have in common.

inline constexpr std::int64_t kMaxGridX = 0x7fffffff, kMaxGridY = 65535, kMaxGridZ = 65535;

/// Tiles of D, at least one.
double CountTiles(const GemmProblem& problem, int block_m, int block_n);

/// The most elements, a power of two, that one access may take: `limit` of them at most, and all `multiples` allow it.
int VectorLength(const GemmProblem& problem, DType dtype, int limit, std::initializer_list<std::int64_t> multiples);
/// The same of D, and of C where it is read.
int VectorLengthOfD(const GemmProblem& problem, int limit);

bool Is8BitFloat(DType dtype);
/// Of one block, dynamic, in bytes.
int SharedLimit(const CodeTarget& target, const DeviceSpec& spec);
/// Why tensor cores cannot multiply the problem's types and store its D; empty if they can.
std::string WhyNotTensorTypes(const GemmProblem& problem, const CodeTarget& target);

/// Why a kernel cannot fuse the problem's epilogue; empty if it can, or there is none.
std::string WhyNotEpilogue(const GemmProblem& problem);
/// Why a kernel of plain operands that are all there at once cannot do the problem; empty if it can.
struct FormTaken {
  bool scales = false, groups = false;
};
std::string WhyNotForm(const GemmProblem& problem, const FormTaken& takes = {});

/// Without the pointers of a call.
SimtParams MakeSimtParams(const GemmProblem& problem);
EpilogueParams MakeEpilogueParams(const GemmProblem& problem);
/// The pointers and scalars of a call.
void Bind(const GemmArgs& args, SimtParams& params);
void Bind(const EpilogueArgs& args, EpilogueParams& params);
/// A LaunchStep's `prepare` where the epilogue takes maxima, which the kernel raises from 0 on; else null.
void (*PrepareOf(const GemmProblem& problem))(const GemmArgs& args, Device& device, Stream stream);

/// "bf16_f16_f32_nt": the part of a kernel's name that says which operands it takes.
std::string OperandsName(const GemmProblem& problem);
/// "_c_e0123456789abcdef": the part that says what it does to sums.
std::string FinishName(const GemmProblem& problem);

/// A kernel called `name`, rendered from `config` as `text`, with the headers that the text reaches.
KernelSource MakeSource(const GemmProblem& problem, const std::string& name, const TileConfig& config,
                        const CodeTarget& target, const CompileOptions& options, std::string text);

/// The text of a kernel, line by line. Named fields, never positions: what a constant means can be read off the source.
class KernelText {
 public:
  /// A template's header, beside that of epilogues where the problem has one; opens the Config. `macros`: lines that
  /// come before.
  KernelText(const GemmProblem& problem, std::string_view header, std::string_view macros = {});

  void Type(std::string_view name, DType dtype);
  void Number(std::string_view name, int value);
  void Flag(std::string_view name, bool value);

  struct Entry {
    std::string_view name;
    int threads;
    std::string_view params, fused_params;  ///< The types of the parameter.
    std::string_view gemm;                  ///< The SimtParams in the fused parameter: "params.gemm".
    std::string_view plain;                 ///< The template's parameter in the fused one.
    std::string_view call;                  ///< "gemmsmith::SimtGemm<Config>::Run"
    /// The template is given dynamic shared memory. It limits how many blocks are resident; without being told that one
    /// will do, ptxas saves registers for more, and spills.
    bool shared = false;
    int shared_alignment = 128;  ///< Bytes.
  };
  /// Closes the Config, and adds the epilogue and the kernel.
  std::string Finished(const Entry& entry) &&;

 private:
  const GemmProblem& problem_;
  std::string text_;
};

}  // namespace gemmsmith
