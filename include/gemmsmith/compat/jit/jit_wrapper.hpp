#pragma once

// Forwarding header for sources that include "jit/jit_wrapper.hpp".
#include "gemmsmith/jit_wrapper.h"
