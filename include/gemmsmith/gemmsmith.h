#pragma once

/// The whole public interface.
#include "gemmsmith/disassemble.h"
#include "gemmsmith/doctor.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/epilogue.h"
#include "gemmsmith/error.h"
#include "gemmsmith/evaluate.h"
#include "gemmsmith/gemm.h"
#include "gemmsmith/jit_wrapper.h"
#include "gemmsmith/manager.h"
#include "gemmsmith/persistent_cache.h"
#include "gemmsmith/prepared_gemm.h"
#include "gemmsmith/results.h"
#include "gemmsmith/select.h"
#include "gemmsmith/shapes.h"
#include "gemmsmith/verify.h"
#include "gemmsmith/version.h"
