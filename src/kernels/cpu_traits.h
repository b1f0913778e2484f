#pragma once

#include "kernels/cpu_gemm.h"
#include "kernels/family.h"

namespace gemmsmith {

// What choosing a way to run a problem on the CPU asks about it.

/// This many tiles of rows gain little from a B that was packed.
constexpr int kFewTiles = 6;
/// More columns of a row-major B are not copied for dot products.
constexpr std::int64_t kDotMostColumns = 12;

/// A and B fit L2, or nearly.
bool IsSmall(const GemmProblem& problem, const DeviceSpec& spec);

/// B is larger than the last cache.
bool IsFarB(const GemmProblem& problem, const DeviceSpec& spec);

/// A has the other signedness than the math wants.
bool FlipsA(const GemmProblem& problem, CpuMath math);

/// Whether D cannot hold the sums of blocks of k.
bool KeepsSumsApart(const GemmProblem& problem, CpuMath math);

/// Whether elements stored as `dtype` are what the math multiplies.
bool IsNative(DType dtype, CpuMath math);

/// Whether micro-kernels can read A where it is: without conversion, in whole units.
bool ReadsA(const GemmProblem& problem, CpuMath math);

/// Likewise B: its tiles, or its columns for dot products.
bool ReadsB(const GemmProblem& problem, CpuMath math);

/// Whether tiles find rows of A next to each other: in a copy, or as it is.
bool HasAdjacentRows(const GemmProblem& problem, CpuPath path);

/// Micro-kernels make units of several rows of B.
bool JoinsB(const GemmProblem& problem, CpuMath math, CpuPath path);
/// Where tiles have `mr` rows, the first makes them for the others.
bool KeepsB(const GemmProblem& problem, CpuMath math, CpuPath path, std::int64_t mr);

/// B is read faster from end to end than in strips of columns. Several rows of A make that too many products at once,
/// but for bytes: strips of them are narrow, and not fast where rows of B lie whole pages apart.
bool SweepsPay(const GemmProblem& problem, CpuMath math);
/// Of B, read at once: as many streams as the hardware follows, unless their lines drive those of sums out of L1.
int RowsOfSweep(const GemmProblem& problem, CpuMath math);

/// Packing all of A, and blocks of B, takes longer than reading A where it lies again for each panel of B.
bool PanelsPay(const GemmProblem& problem, const DeviceSpec& spec);

/// B comes from memory, a strip of columns after the other.
bool StreamsB(const GemmProblem& problem, const DeviceSpec& spec, CpuPath path);

/// One panel is all of B, and rows of A come from memory once: in longer runs, which the hardware follows.
bool StreamsA(const GemmProblem& problem, const DeviceSpec& spec, CpuPath path, std::int64_t nr);

/// B is flat, and D far larger than A and B.
bool HasShortColumns(const GemmProblem& problem);

/// D comes from memory, and goes there.
bool IsLargeD(const GemmProblem& problem, const DeviceSpec& spec);

/// A B that could be read in place is faster packed, and with a packed one A: with every column of tiles, all of A is
/// read.
bool IsWorthPacking(const GemmProblem& problem, const DeviceSpec& spec);

}  // namespace gemmsmith
